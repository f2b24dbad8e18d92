output "state_bucket" {
  description = "Name of the bucket of infra/terraform's state."
  value       = module.state_bucket.name
}

output "releases_bucket" {
  description = "Name of the bucket of models from outside of the pipeline."
  value       = module.release_bucket.name
}

output "repositories" {
  description = "URL of each image's repository, by part."
  value       = { for part, repository in aws_ecr_repository.images : part => repository.repository_url }
}
