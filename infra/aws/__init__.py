"""AWS as it is deployed: Terraform found and run, and the whole of it on this machine, on moto."""
