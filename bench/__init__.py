"""What a request costs: ashttpd next to other servers; see README.md here."""
