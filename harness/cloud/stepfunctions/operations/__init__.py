"""The operations of the Step Functions API, a module a group of them."""
