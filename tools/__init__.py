"""What is made from the code and the documents, and is not needed to run them."""
