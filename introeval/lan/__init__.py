"""The lab on the school's network: the machine's addresses, its certificates, and how a device trusts them."""
