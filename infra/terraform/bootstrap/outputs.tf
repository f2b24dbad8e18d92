output "state_bucket" {
  description = "The bucket of infra/terraform's state."
  value       = aws_s3_bucket.state.bucket
}

output "releases_bucket" {
  description = "The bucket of models from outside of the pipeline."
  value       = aws_s3_bucket.releases.bucket
}

output "repositories" {
  description = "Where to push each image: its repository's URL by part."
  value       = { for part, repository in aws_ecr_repository.images : part => repository.repository_url }
}
