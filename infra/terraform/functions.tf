# The two functions that decide transactions, from one image because numba is too large for a zip file:
#   stream: reads the stream of transactions, and writes the decisions of record.
#   score:  answers POST /v1/score without changing any state.

locals {
  stream_name = "${local.prefix}-stream"

  functions = {
    stream = {
      description          = "Transactions to decisions: kernel, rules and policy, one call of the endpoint for a batch"
      handler              = "services.stream.aws.handler.handle"
      memory_mb            = var.stream_memory_mb
      timeout_seconds      = var.stream_timeout_seconds
      reserved_concurrency = var.stream_reserved_concurrency
      policy               = data.aws_iam_policy_document.stream.json
    }
    score = {
      description          = "Answers POST /v1/score and changes nothing"
      handler              = "services.scoring.aws.handler.handle"
      memory_mb            = var.score_memory_mb
      timeout_seconds      = var.score_timeout_seconds
      reserved_concurrency = var.score_reserved_concurrency
      policy               = data.aws_iam_policy_document.score.json
    }
  }

  function_environment = merge(local.control_key_environment, {
    CARDWATCH_STORE_URL          = "dynamodb://${aws_dynamodb_table.cards.name}?region=${var.region}"
    CARDWATCH_ENDPOINT           = local.endpoint_name
    CARDWATCH_DATA_BUCKET        = module.data_bucket.name
    CARDWATCH_DECISIONS_STREAM   = aws_kinesis_stream.decisions.name
    CARDWATCH_DEAD_LETTERS_QUEUE = aws_sqs_queue.queues["dead-letters"].url
    CARDWATCH_DEADLINE_MS        = tostring(var.deadline_ms)
    CARDWATCH_LOG_FORMAT         = "json"
    CARDWATCH_HOME               = "/tmp/cardwatch" # /tmp is a function's only writable folder
  })

  # The functions read the secret themselves, so that its value is neither in the state of Terraform nor in their settings.
  control_key_secrets     = compact([var.control_key_secret_arn])
  control_key_environment = { for arn in local.control_key_secrets : "CARDWATCH_CONTROL_KEY_SECRET" => arn }
}

resource "aws_cloudwatch_log_group" "functions" {
  for_each = local.functions

  name              = "/aws/lambda/${local.prefix}-${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.logs.arn
}

resource "aws_lambda_function" "functions" {
  #checkov:skip=CKV_AWS_272:Lambda signs zips only; images come by immutable tag from a repository of this account
  for_each = local.functions

  function_name                  = "${local.prefix}-${each.key}"
  description                    = each.value.description
  role                           = aws_iam_role.functions[each.key].arn
  package_type                   = "Image"
  image_uri                      = local.images.lambda
  architectures                  = ["x86_64"]
  memory_size                    = each.value.memory_mb
  timeout                        = each.value.timeout_seconds
  reserved_concurrent_executions = each.value.reserved_concurrency
  kms_key_arn                    = aws_kms_key.data.arn
  publish                        = true

  image_config {
    command = [each.value.handler]
  }

  environment {
    variables = local.function_environment
  }

  vpc_config {
    subnet_ids         = local.private_subnet_ids
    security_group_ids = [aws_security_group.workloads.id]
  }

  # There are no asynchronous calls of these functions. If one is made and fails, its event is kept here.
  dead_letter_config {
    target_arn = aws_sqs_queue.queues["abandoned"].arn
  }

  tracing_config {
    mode = var.tracing ? "Active" : "PassThrough"
  }

  depends_on = [aws_cloudwatch_log_group.functions, aws_iam_role_policy.functions, aws_iam_role_policy.function_ground]
}

# --- Event sources of the stream function -------------------------------------------------------------------------

# One batch of a shard at a time, because the outbox has one open batch per shard. The function itself sends unreadable
# records to the dead letters, so a batch is retried until it is too old only during an outage or after a defect.
resource "aws_lambda_event_source_mapping" "kinesis" {
  count = local.on_msk ? 0 : 1

  event_source_arn                   = aws_kinesis_stream.transactions[0].arn
  function_name                      = aws_lambda_function.functions["stream"].arn
  starting_position                  = "TRIM_HORIZON"
  batch_size                         = var.stream_batch_size
  maximum_batching_window_in_seconds = 0
  parallelization_factor             = 1
  bisect_batch_on_function_error     = true
  function_response_types            = ["ReportBatchItemFailures"]
  maximum_retry_attempts             = -1
  maximum_record_age_in_seconds      = var.stream_give_up_seconds

  destination_config {
    on_failure {
      destination_arn = aws_sqs_queue.queues["abandoned"].arn
    }
  }
}

# Lambda has neither bisection nor a maximum age for Kafka: a batch is retried until its retention in the topic ends.
resource "aws_lambda_event_source_mapping" "msk" {
  count = local.on_msk ? 1 : 0

  event_source_arn  = aws_msk_serverless_cluster.transactions[0].arn
  function_name     = aws_lambda_function.functions["stream"].arn
  topics            = [local.transactions_topic]
  starting_position = "TRIM_HORIZON"
  batch_size        = var.stream_batch_size

  amazon_managed_kafka_event_source_config {
    consumer_group_id = local.stream_name
  }

  destination_config {
    on_failure {
      destination_arn = aws_sqs_queue.queues["abandoned"].arn
    }
  }
}

# --- Permissions --------------------------------------------------------------------------------------------------

data "aws_iam_policy_document" "lambda_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "functions" {
  for_each = local.functions

  name               = "${local.prefix}-${each.key}"
  description        = each.value.description
  assume_role_policy = data.aws_iam_policy_document.lambda_trust.json
}

resource "aws_iam_role_policy" "functions" {
  for_each = local.functions

  name   = "its-own-work"
  role   = aws_iam_role.functions[each.key].id
  policy = each.value.policy
}

resource "aws_iam_role_policy" "function_ground" {
  for_each = local.functions

  name   = "logs-network-and-traces"
  role   = aws_iam_role.functions[each.key].id
  policy = data.aws_iam_policy_document.function_ground[each.key].json
}

# Permissions that every function needs.
data "aws_iam_policy_document" "function_ground" {
  for_each = local.functions

  source_policy_documents = [data.aws_iam_policy_document.function_network.json]

  statement {
    sid       = "WriteItsLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.functions[each.key].arn}:*"]
  }

  statement {
    sid       = "TellOfAFailedAsynchronousCall"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.queues["abandoned"].arn]
  }
}

# Lambda creates network interfaces with the function's role. It requires deletion for all of the account's.
data "aws_iam_policy_document" "function_network" {
  statement {
    sid     = "MakeInterfacesInThePrivateSubnets"
    actions = ["ec2:CreateNetworkInterface"]
    resources = concat(
      aws_subnet.private[*].arn,
      [aws_security_group.workloads.arn, "${local.arn_of.ec2}:network-interface/*"],
    )
  }

  statement {
    sid       = "GiveInterfacesBack"
    actions   = ["ec2:AssignPrivateIpAddresses", "ec2:DeleteNetworkInterface", "ec2:UnassignPrivateIpAddresses"]
    resources = ["${local.arn_of.ec2}:*/*"]
  }

  # These actions cannot be restricted to resources.
  statement {
    sid       = "LookAtTheNetworkAndTrace"
    actions   = ["ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "xray:PutTelemetryRecords", "xray:PutTraceSegments"]
    resources = ["*"]
  }
}

# Permissions of both functions: reference tables, the endpoint, the data key and the control share's key.
data "aws_iam_policy_document" "deciding" {
  statement {
    sid       = "ListReferenceTables"
    actions   = ["s3:ListBucket"]
    resources = [module.data_bucket.arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["tables/*"]
    }
  }

  statement {
    sid       = "ReadReferenceTables"
    actions   = ["s3:GetObject"]
    resources = ["${module.data_bucket.arn}/tables/*"]
  }

  statement {
    sid       = "Score"
    actions   = ["sagemaker:InvokeEndpoint"]
    resources = ["${local.arn_of.sagemaker}:endpoint/${local.endpoint_name}"]
  }

  statement {
    sid       = "UseTheKeyOfData"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.data.arn]
  }

  dynamic "statement" {
    for_each = local.control_key_secrets

    content {
      sid       = "ReadTheKeyOfTheControlShare"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [statement.value]
    }
  }
}

data "aws_iam_policy_document" "score" {
  source_policy_documents = [data.aws_iam_policy_document.deciding.json]

  statement {
    sid       = "ReadCards"
    actions   = ["dynamodb:BatchGetItem"]
    resources = [aws_dynamodb_table.cards.arn]
  }
}

data "aws_iam_policy_document" "stream" {
  source_policy_documents = [data.aws_iam_policy_document.deciding.json]

  statement {
    sid       = "ReadAndWriteCards"
    actions   = ["dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
    resources = [aws_dynamodb_table.cards.arn]
  }

  dynamic "statement" {
    for_each = aws_kinesis_stream.transactions

    content {
      sid = "ReadTransactions"
      actions = [
        "kinesis:DescribeStream",
        "kinesis:DescribeStreamSummary",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
      ]
      resources = [statement.value.arn]
    }
  }

  dynamic "statement" {
    for_each = local.msk_client_rights

    content {
      sid       = statement.value.sid
      actions   = statement.value.consumer
      resources = statement.value.resources
    }
  }

  dynamic "statement" {
    for_each = local.msk_arns

    content {
      sid       = "BeTheConsumerGroup"
      actions   = ["kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"]
      resources = [statement.value.group]
    }
  }

  # Lambda looks up the cluster's network with the function's role. These actions cannot be restricted to resources.
  dynamic "statement" {
    for_each = local.msk_arns

    content {
      sid       = "LookAtTheClustersNetwork"
      actions   = ["ec2:DescribeSecurityGroups", "ec2:DescribeVpcs"]
      resources = ["*"]
    }
  }

  statement {
    sid       = "SendDecisions"
    actions   = ["kinesis:PutRecords"]
    resources = [aws_kinesis_stream.decisions.arn]
  }

  statement {
    sid       = "KeepDecisionsAndLargeDeadLetters"
    actions   = ["s3:PutObject"]
    resources = ["${module.data_bucket.arn}/decisions/*", "${module.data_bucket.arn}/dead-letters/*"]
  }

  statement {
    sid       = "SendDeadLetters"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.queues["dead-letters"].arn]
  }
}
