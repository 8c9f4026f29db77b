"""What tests of several rooms share: small data, fakes, servers, commands."""
