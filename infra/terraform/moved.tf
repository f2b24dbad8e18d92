# Resources that this root declared before they moved into modules. States that were applied then are migrated.

moved {
  from = aws_s3_bucket.data
  to   = module.data_bucket.aws_s3_bucket.this
}

moved {
  from = aws_s3_bucket_versioning.buckets["data"]
  to   = module.data_bucket.aws_s3_bucket_versioning.this
}

moved {
  from = aws_s3_bucket_server_side_encryption_configuration.data
  to   = module.data_bucket.aws_s3_bucket_server_side_encryption_configuration.this
}

moved {
  from = aws_s3_bucket_public_access_block.buckets["data"]
  to   = module.data_bucket.aws_s3_bucket_public_access_block.this
}

moved {
  from = aws_s3_bucket_lifecycle_configuration.data
  to   = module.data_bucket.aws_s3_bucket_lifecycle_configuration.this
}

moved {
  from = aws_s3_bucket_policy.data
  to   = module.data_bucket.aws_s3_bucket_policy.this
}

moved {
  from = aws_s3_bucket_notification.buckets["data"]
  to   = module.data_bucket.aws_s3_bucket_notification.this
}

moved {
  from = aws_s3_bucket_logging.data
  to   = module.data_bucket.aws_s3_bucket_logging.this[0]
}

moved {
  from = aws_iam_role.replication["data"]
  to   = module.data_bucket.aws_iam_role.replication["data"]
}

moved {
  from = aws_iam_role_policy.replication["data"]
  to   = module.data_bucket.aws_iam_role_policy.replication["data"]
}

moved {
  from = aws_s3_bucket_replication_configuration.replicas["data"]
  to   = module.data_bucket.aws_s3_bucket_replication_configuration.replicas["data"]
}

moved {
  from = aws_s3_bucket.logs
  to   = module.log_bucket.aws_s3_bucket.this
}

moved {
  from = aws_s3_bucket_versioning.buckets["logs"]
  to   = module.log_bucket.aws_s3_bucket_versioning.this
}

moved {
  from = aws_s3_bucket_server_side_encryption_configuration.logs
  to   = module.log_bucket.aws_s3_bucket_server_side_encryption_configuration.this
}

moved {
  from = aws_s3_bucket_public_access_block.buckets["logs"]
  to   = module.log_bucket.aws_s3_bucket_public_access_block.this
}

moved {
  from = aws_s3_bucket_lifecycle_configuration.logs
  to   = module.log_bucket.aws_s3_bucket_lifecycle_configuration.this
}

moved {
  from = aws_s3_bucket_policy.logs
  to   = module.log_bucket.aws_s3_bucket_policy.this
}

moved {
  from = aws_s3_bucket_notification.buckets["logs"]
  to   = module.log_bucket.aws_s3_bucket_notification.this
}

moved {
  from = aws_iam_role.replication["logs"]
  to   = module.log_bucket.aws_iam_role.replication["logs"]
}

moved {
  from = aws_iam_role_policy.replication["logs"]
  to   = module.log_bucket.aws_iam_role_policy.replication["logs"]
}

moved {
  from = aws_s3_bucket_replication_configuration.replicas["logs"]
  to   = module.log_bucket.aws_s3_bucket_replication_configuration.replicas["logs"]
}
