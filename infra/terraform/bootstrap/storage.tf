# The bucket of Terraform's state and its lock file, and the bucket of models from outside of the pipeline. SageMaker reads
# the first model from there when infra/terraform creates the endpoint.

locals {
  buckets = {
    state    = "${local.prefix}-state-${local.account_id}"
    releases = "${local.prefix}-releases-${local.account_id}"
  }

  # Without a copy of its state, the remaining resources of a lost stack could not be changed or removed. The destination
  # buckets belong to the stack of the other region.
  replication = { role_prefix = local.prefix, account_id = local.account_id, decrypt_key_arn = aws_kms_key.bootstrap.arn }
}

module "state_bucket" {
  source = "../modules/bucket"

  name              = local.buckets.state
  force_destroy     = !var.deletion_protection
  kms_key_arn       = aws_kms_key.bootstrap.arn
  cleanup           = { old_version_days = var.old_version_days }
  access_log_bucket = var.access_log_bucket
  access_log_prefix = "${local.buckets.state}/"
  replication       = merge(local.replication, { replicas = { for key, replica in var.replicas : key => replica if key == "state" } })
}

# It has AWS's key of S3, for which SageMaker's role, which infra/terraform creates, needs no permission.
module "release_bucket" {
  source = "../modules/bucket"

  name              = local.buckets.releases
  force_destroy     = !var.deletion_protection
  cleanup           = { old_version_days = var.old_version_days }
  access_log_bucket = var.access_log_bucket
  access_log_prefix = "${local.buckets.releases}/"
  replication       = merge(local.replication, { replicas = { for key, replica in var.replicas : key => replica if key == "releases" } })
}
