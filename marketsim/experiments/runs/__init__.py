"""One run or many: where they are carried out, what is read of them."""
