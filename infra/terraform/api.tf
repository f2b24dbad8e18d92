# POST /v1/score on API Gateway. A caller needs both: an IAM identity that may invoke it, and an API key, which says whose
# throttle counts. What is not a transaction never reaches the function.

locals {
  # One contract: what the core's types say, in the older dialect that API Gateway speaks.
  contract = jsondecode(replace(file("${path.module}/../../docs/contracts/transaction.schema.json"), "$defs", "definitions"))
  transaction_schema = jsonencode(merge(
    local.contract.definitions.Transaction,
    {
      "$schema"   = "http://json-schema.org/draft-04/schema#"
      definitions = { for name, schema in local.contract.definitions : name => schema if name != "Transaction" }
    },
  ))

  api_stage = "live"

  # What AWS answers by itself looks like what the service answers.
  gateway_responses = {
    BAD_REQUEST_BODY  = { status = "422", body = "{\"error\": $context.error.messageString, \"field\": \"\"}" }
    DEFAULT_4XX       = { status = null, body = "{\"error\": $context.error.messageString}" }
    DEFAULT_5XX       = { status = null, body = "{\"error\": $context.error.messageString}" }
    REQUEST_TOO_LARGE = { status = "413", body = "{\"error\": $context.error.messageString}" }
  }

  access_log_fields = {
    request_id     = "$context.requestId"
    caller         = "$context.identity.caller"
    api_key_id     = "$context.identity.apiKeyId"
    source_ip      = "$context.identity.sourceIp"
    method         = "$context.httpMethod"
    path           = "$context.resourcePath"
    status         = "$context.status"
    latency_ms     = "$context.responseLatency"
    function_ms    = "$context.integration.latency"
    error          = "$context.error.message"
    response_bytes = "$context.responseLength"
  }
}

resource "aws_api_gateway_rest_api" "score" {
  name        = local.prefix
  description = "Questions about one transaction"

  endpoint_configuration {
    types = ["REGIONAL"]
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_resource" "v1" {
  rest_api_id = aws_api_gateway_rest_api.score.id
  parent_id   = aws_api_gateway_rest_api.score.root_resource_id
  path_part   = "v1"
}

resource "aws_api_gateway_resource" "score" {
  rest_api_id = aws_api_gateway_rest_api.score.id
  parent_id   = aws_api_gateway_resource.v1.id
  path_part   = "score"
}

resource "aws_api_gateway_model" "transaction" {
  rest_api_id  = aws_api_gateway_rest_api.score.id
  name         = "Transaction"
  description  = "docs/contracts/transaction.schema.json"
  content_type = "application/json"
  schema       = local.transaction_schema
}

resource "aws_api_gateway_request_validator" "body" {
  rest_api_id           = aws_api_gateway_rest_api.score.id
  name                  = "body"
  validate_request_body = true
}

resource "aws_api_gateway_method" "score" {
  rest_api_id          = aws_api_gateway_rest_api.score.id
  resource_id          = aws_api_gateway_resource.score.id
  http_method          = "POST"
  authorization        = "AWS_IAM"
  api_key_required     = true
  request_validator_id = aws_api_gateway_request_validator.body.id
  request_models       = { "application/json" = aws_api_gateway_model.transaction.name }
}

resource "aws_api_gateway_integration" "score" {
  rest_api_id             = aws_api_gateway_rest_api.score.id
  resource_id             = aws_api_gateway_resource.score.id
  http_method             = aws_api_gateway_method.score.http_method
  type                    = "AWS_PROXY"
  integration_http_method = "POST" # Lambda's own API, whatever the caller's method
  uri                     = aws_lambda_alias.score.invoke_arn
  passthrough_behavior    = "NEVER" # a body of another type would pass the validator by
  timeout_milliseconds    = var.score_timeout_seconds * 1000
}

resource "aws_api_gateway_gateway_response" "errors" {
  for_each = local.gateway_responses

  rest_api_id        = aws_api_gateway_rest_api.score.id
  response_type      = each.key
  status_code        = each.value.status
  response_templates = { "application/json" = each.value.body }
}

# A deployment is a snapshot: it must be made anew whenever what it holds changes, and only then.
resource "aws_api_gateway_deployment" "score" {
  rest_api_id = aws_api_gateway_rest_api.score.id

  triggers = {
    content = sha256(jsonencode([
      local.transaction_schema,
      local.gateway_responses,
      var.score_timeout_seconds,
      filesha256("${path.module}/api.tf"),
    ]))
  }

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [aws_api_gateway_gateway_response.errors, aws_api_gateway_integration.score]
}

resource "aws_api_gateway_stage" "live" {
  #checkov:skip=CKV_AWS_120:a cache would answer for a card as it was, and each question is about another transaction
  #checkov:skip=CKV2_AWS_51:a client certificate proves the gateway to an HTTP backend; behind this one is a function, which IAM guards
  rest_api_id          = aws_api_gateway_rest_api.score.id
  deployment_id        = aws_api_gateway_deployment.score.id
  stage_name           = local.api_stage
  xray_tracing_enabled = var.tracing

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.api.arn
    format          = jsonencode(local.access_log_fields)
  }

  depends_on = [aws_api_gateway_account.logs]
}

resource "aws_api_gateway_method_settings" "all" {
  #checkov:skip=CKV_AWS_225:a cache would answer for a card as it was, and each question is about another transaction
  rest_api_id = aws_api_gateway_rest_api.score.id
  stage_name  = aws_api_gateway_stage.live.stage_name
  method_path = "*/*"

  settings {
    metrics_enabled        = true
    logging_level          = "ERROR"
    data_trace_enabled     = false # a body is about a person's card
    throttling_rate_limit  = var.api_requests_per_second
    throttling_burst_limit = var.api_burst
  }
}

resource "aws_lambda_permission" "api" {
  statement_id  = "the-api-asks"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.functions["score"].function_name
  qualifier     = aws_lambda_alias.score.name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.score.execution_arn}/*/POST/v1/score"
}

# The alias is what keeps functions warm: a start takes seconds, an answer milliseconds.
resource "aws_lambda_alias" "score" {
  name             = local.api_stage
  description      = "What the API asks"
  function_name    = aws_lambda_function.functions["score"].function_name
  function_version = aws_lambda_function.functions["score"].version
}

resource "aws_lambda_provisioned_concurrency_config" "score" {
  count = var.score_provisioned_concurrency > 0 ? 1 : 0

  function_name                     = aws_lambda_alias.score.function_name
  qualifier                         = aws_lambda_alias.score.name
  provisioned_concurrent_executions = var.score_provisioned_concurrency
}

# --- Callers ------------------------------------------------------------------------------------------------------

resource "aws_api_gateway_usage_plan" "callers" {
  name        = "${local.prefix}-callers"
  description = "What the callers may ask together"

  api_stages {
    api_id = aws_api_gateway_rest_api.score.id
    stage  = aws_api_gateway_stage.live.stage_name
  }

  throttle_settings {
    rate_limit  = var.api_requests_per_second
    burst_limit = var.api_burst
  }

  dynamic "quota_settings" {
    for_each = var.api_requests_per_day == 0 ? [] : [var.api_requests_per_day]

    content {
      limit  = quota_settings.value
      period = "DAY"
    }
  }
}

resource "aws_api_gateway_api_key" "first" {
  name        = "${local.prefix}-first-caller"
  description = "Whoever asks first; make one for each further caller"
}

resource "aws_api_gateway_usage_plan_key" "first" {
  usage_plan_id = aws_api_gateway_usage_plan.callers.id
  key_id        = aws_api_gateway_api_key.first.id
  key_type      = "API_KEY"
}

# For whoever asks: attach it.
data "aws_iam_policy_document" "score_client" {
  statement {
    sid       = "AskForAScore"
    actions   = ["execute-api:Invoke"]
    resources = ["${aws_api_gateway_rest_api.score.execution_arn}/${local.api_stage}/POST/v1/score"]
  }
}

resource "aws_iam_policy" "score_client" {
  name        = "${local.prefix}-score-client"
  description = "May ask POST /v1/score"
  policy      = data.aws_iam_policy_document.score_client.json
}

# --- Logs ---------------------------------------------------------------------------------------------------------

resource "aws_cloudwatch_log_group" "api" {
  name              = "/aws/apigateway/${local.prefix}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.logs.arn
}

# API Gateway writes all logs of an account and region in one role's name. Only one environment of them may set it.
data "aws_iam_policy_document" "api_logs_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["apigateway.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "api_logs" {
  count = var.set_api_gateway_log_role ? 1 : 0

  name               = "${local.prefix}-api-logs"
  description        = "API Gateway's logs, of all APIs in this account and region"
  assume_role_policy = data.aws_iam_policy_document.api_logs_trust.json
}

resource "aws_iam_role_policy_attachment" "api_logs" {
  count = var.set_api_gateway_log_role ? 1 : 0

  role       = aws_iam_role.api_logs[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
}

resource "aws_api_gateway_account" "logs" {
  count = var.set_api_gateway_log_role ? 1 : 0

  cloudwatch_role_arn = aws_iam_role.api_logs[0].arn

  depends_on = [aws_iam_role_policy_attachment.api_logs]
}
