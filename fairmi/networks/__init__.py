"""Arrays in, trained networks out: no scikit-learn, and nothing of an estimator."""
