# Resources that this root declared before they moved into modules. States that were applied then are migrated.

moved {
  from = aws_s3_bucket.state
  to   = module.state_bucket.aws_s3_bucket.this
}

moved {
  from = aws_s3_bucket_versioning.buckets["state"]
  to   = module.state_bucket.aws_s3_bucket_versioning.this
}

moved {
  from = aws_s3_bucket_server_side_encryption_configuration.buckets["state"]
  to   = module.state_bucket.aws_s3_bucket_server_side_encryption_configuration.this
}

moved {
  from = aws_s3_bucket_public_access_block.buckets["state"]
  to   = module.state_bucket.aws_s3_bucket_public_access_block.this
}

moved {
  from = aws_s3_bucket_lifecycle_configuration.buckets["state"]
  to   = module.state_bucket.aws_s3_bucket_lifecycle_configuration.this
}

moved {
  from = aws_s3_bucket_policy.buckets["state"]
  to   = module.state_bucket.aws_s3_bucket_policy.this
}

moved {
  from = aws_s3_bucket_notification.buckets["state"]
  to   = module.state_bucket.aws_s3_bucket_notification.this
}

moved {
  from = aws_s3_bucket_logging.buckets["state"]
  to   = module.state_bucket.aws_s3_bucket_logging.this[0]
}

moved {
  from = aws_iam_role.replication["state"]
  to   = module.state_bucket.aws_iam_role.replication["state"]
}

moved {
  from = aws_iam_role_policy.replication["state"]
  to   = module.state_bucket.aws_iam_role_policy.replication["state"]
}

moved {
  from = aws_s3_bucket_replication_configuration.replicas["state"]
  to   = module.state_bucket.aws_s3_bucket_replication_configuration.replicas["state"]
}

moved {
  from = aws_s3_bucket.releases
  to   = module.release_bucket.aws_s3_bucket.this
}

moved {
  from = aws_s3_bucket_versioning.buckets["releases"]
  to   = module.release_bucket.aws_s3_bucket_versioning.this
}

moved {
  from = aws_s3_bucket_server_side_encryption_configuration.buckets["releases"]
  to   = module.release_bucket.aws_s3_bucket_server_side_encryption_configuration.this
}

moved {
  from = aws_s3_bucket_public_access_block.buckets["releases"]
  to   = module.release_bucket.aws_s3_bucket_public_access_block.this
}

moved {
  from = aws_s3_bucket_lifecycle_configuration.buckets["releases"]
  to   = module.release_bucket.aws_s3_bucket_lifecycle_configuration.this
}

moved {
  from = aws_s3_bucket_policy.buckets["releases"]
  to   = module.release_bucket.aws_s3_bucket_policy.this
}

moved {
  from = aws_s3_bucket_notification.buckets["releases"]
  to   = module.release_bucket.aws_s3_bucket_notification.this
}

moved {
  from = aws_s3_bucket_logging.buckets["releases"]
  to   = module.release_bucket.aws_s3_bucket_logging.this[0]
}

moved {
  from = aws_iam_role.replication["releases"]
  to   = module.release_bucket.aws_iam_role.replication["releases"]
}

moved {
  from = aws_iam_role_policy.replication["releases"]
  to   = module.release_bucket.aws_iam_role_policy.replication["releases"]
}

moved {
  from = aws_s3_bucket_replication_configuration.replicas["releases"]
  to   = module.release_bucket.aws_s3_bucket_replication_configuration.replicas["releases"]
}
