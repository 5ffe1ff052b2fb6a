"""What `./dev run` and the tests start on one machine: private servers, the partner sandbox, the service itself."""
