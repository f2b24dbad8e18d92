# The two functions on the way of a transaction, from one image (numba does not fit a zip):
#   stream: reads the log, decides, writes decisions. The decision of record.
#   score:  answers POST /v1/score. A question, which changes nothing.

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

  function_environment = {
    CARDWATCH_STORE_URL          = "dynamodb://${aws_dynamodb_table.cards.name}?region=${var.region}"
    CARDWATCH_ENDPOINT           = local.endpoint_name
    CARDWATCH_DATA_BUCKET        = module.data_bucket.name
    CARDWATCH_DECISIONS_STREAM   = aws_kinesis_stream.decisions.name
    CARDWATCH_DEAD_LETTERS_QUEUE = aws_sqs_queue.queues["dead-letters"].url
    CARDWATCH_DEADLINE_MS        = tostring(var.deadline_ms)
    CARDWATCH_LOG_FORMAT         = "json"
    CARDWATCH_HOME               = "/tmp/cardwatch" # the only place where a function may write
  }
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

  # Nobody calls them asynchronously; should somebody, a failure is not lost.
  dead_letter_config {
    target_arn = aws_sqs_queue.queues["abandoned"].arn
  }

  tracing_config {
    mode = var.tracing ? "Active" : "PassThrough"
  }

  depends_on = [aws_cloudwatch_log_group.functions, aws_iam_role_policy.functions, aws_iam_role_policy.function_ground]
}

# --- What feeds the stream function -------------------------------------------------------------------------------

# One batch of a shard at a time: its outbox holds one open batch a shard. A record that nobody can read goes to the dead
# letters by the function's own hand, so only an outage, or a fault of ours, makes a batch be tried until it is too old.
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

# Lambda offers neither bisection nor an age for Kafka: a batch is retried until the topic forgets it.
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

# --- What each may do ---------------------------------------------------------------------------------------------

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

# What every function needs to run at all.
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

# Lambda makes network interfaces in the function's name. It insists on the delete for whatever the account has.
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

  # AWS knows no resources for these.
  statement {
    sid       = "LookAtTheNetworkAndTrace"
    actions   = ["ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "xray:PutTelemetryRecords", "xray:PutTraceSegments"]
    resources = ["*"]
  }
}

# Both functions: reference tables, the endpoint, the key of all data.
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

  # Lambda looks for the cluster's network in the function's name; AWS knows no resources for these.
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
