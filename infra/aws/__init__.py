"""Deployment on AWS by Terraform: preflight checks, cost estimates, and acceptance runs on moto."""
