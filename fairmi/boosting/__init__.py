"""Trees trained by mutual-information backpropagation: arrays in, plain arrays of trees out."""
