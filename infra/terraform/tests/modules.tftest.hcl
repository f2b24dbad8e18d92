# The module of buckets, planned by the real provider without credentials.

provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_resource {
  target          = aws_s3_bucket.this
  override_during = plan
  values          = { arn = "arn:aws:s3:::cardwatch-test-data" }
}

run "bucket" {
  command = plan

  module {
    source = "./modules/bucket"
  }

  variables {
    name              = "cardwatch-test-data"
    force_destroy     = false
    kms_key_arn       = "arn:aws:kms:eu-central-1:123456789012:key/data"
    access_log_bucket = "cardwatch-test-logs"
    access_log_prefix = "data/"
    policy_documents  = [jsonencode({ Version = "2012-10-17", Statement = [{ Sid = "Added", Effect = "Allow" }] })]

    lifecycle_rules = [
      { id = "cool", prefix = "archive/", transitions = { STANDARD_IA = 90 } },
      { id = "forget", prefix = "capture/", expiration_days = 7 },
    ]

    cleanup = { old_version_days = 30 }
    replication = {
      role_prefix     = "cardwatch-test"
      account_id      = "123456789012"
      decrypt_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/data"
      replicas        = { data = { bucket_arn = "arn:aws:s3:::copy", kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/copy" } }
    }
  }

  assert {
    condition     = alltrue([for block in [aws_s3_bucket_public_access_block.this] : block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets])
    error_message = "A bucket could be opened to the public."
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "A bucket keeps no old versions."
  }

  assert {
    condition     = output.kms_key_arn == var.kms_key_arn && one(aws_s3_bucket_server_side_encryption_configuration.this.rule).bucket_key_enabled
    error_message = "A bucket is not encrypted with the given key."
  }

  assert {
    condition     = one(data.aws_iam_policy_document.this.statement).effect == "Deny" && toset(data.aws_iam_policy_document.this.override_policy_documents) == toset(var.policy_documents)
    error_message = "A bucket's policy lacks the refusal of requests without TLS, or a given statement."
  }

  assert {
    condition = [
      for rule in aws_s3_bucket_lifecycle_configuration.this.rule : [
        length(rule.transition), length(rule.expiration), length(rule.noncurrent_version_expiration), length(rule.abort_incomplete_multipart_upload),
      ]
    ] == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1]]
    error_message = "A lifecycle rule has other parts than were given."
  }

  assert {
    condition     = aws_s3_bucket_logging.this[0].target_bucket == "cardwatch-test-logs"
    error_message = "A bucket's access logs go elsewhere."
  }

  assert {
    condition = aws_iam_role.replication["data"].name == "cardwatch-test-replicate-data" && toset(flatten([
      for statement in data.aws_iam_policy_document.replication["data"].statement : statement.resources if statement.sid == "WriteCopies"
    ])) == toset(["arn:aws:s3:::copy/*"])
    error_message = "The role of replication writes elsewhere."
  }
}

run "nonsense_for_a_bucket" {
  command = plan

  module {
    source = "./modules/bucket"
  }

  variables {
    name              = "Not_A_Bucket"
    force_destroy     = false
    sse_algorithm     = "rot13"
    kms_key_arn       = "key"
    lifecycle_rules   = [{ id = "cool", prefix = "archive" }]
    cleanup           = { old_version_days = 0 }
    policy_documents  = [for number in range(11) : "{}"]
    access_log_bucket = "Not_A_Bucket"
    access_log_prefix = "logs"
    replication = {
      role_prefix     = "cardwatch-test"
      account_id      = "123456789012"
      decrypt_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/data"
      replicas        = { for key in ["one", "two"] : key => { bucket_arn = "arn:aws:s3:::copy", kms_key_arn = "key" } }
    }
  }

  expect_failures = [
    var.name,
    var.sse_algorithm,
    var.kms_key_arn,
    var.lifecycle_rules,
    var.cleanup,
    var.policy_documents,
    var.access_log_bucket,
    var.access_log_prefix,
    var.replication,
  ]
}
