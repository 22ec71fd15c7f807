"""Reviews: answers that a person must see before anybody gets them."""
