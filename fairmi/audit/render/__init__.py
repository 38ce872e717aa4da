"""What is shown: records in; tables, text, a page, a model card or plain data out."""
