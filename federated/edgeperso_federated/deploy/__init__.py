"""A real federation: certificates and node keys (`certificates`), Flower's commands with everything off that calls home
(`commands`), and the processes that run them (`processes`)."""
