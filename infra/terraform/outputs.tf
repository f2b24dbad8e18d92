# Values that commands need. outputs_models.tf has those of models and jobs.

locals {
  api_url = "${aws_api_gateway_stage.live.invoke_url}/v1/score"
}

output "prefix" {
  description = "Prefix of the names of all resources."
  value       = local.prefix
}

output "region" {
  description = "AWS region of all resources."
  value       = var.region
}

output "ingress" {
  description = "Source of transactions: kinesis or msk."
  value       = var.ingress
}

output "transactions_stream" {
  description = "Name of the Kinesis stream of transactions. Null with MSK."
  value       = one(aws_kinesis_stream.transactions[*].name)
}

output "kafka_bootstrap" {
  description = "Kafka brokers for clients with IAM authentication. Null with Kinesis."
  value       = one(aws_msk_serverless_cluster.transactions[*].bootstrap_brokers_sasl_iam)
}

output "decisions_stream" {
  description = "Name of the Kinesis stream of decisions."
  value       = aws_kinesis_stream.decisions.name
}

output "cards_table" {
  description = "Name of the DynamoDB table of card states."
  value       = aws_dynamodb_table.cards.name
}

output "data_bucket" {
  description = "Name of the data bucket."
  value       = module.data_bucket.name
}

output "dead_letters_queue_url" {
  description = "URL of the SQS queue of unreadable records."
  value       = aws_sqs_queue.queues["dead-letters"].url
}

output "abandoned_queue_url" {
  description = "URL of the SQS queue of batches whose retries are exhausted."
  value       = aws_sqs_queue.queues["abandoned"].url
}

output "stream_function" {
  description = "Name of the Lambda function that decides transactions of the stream."
  value       = aws_lambda_function.functions["stream"].function_name
}

output "score_function" {
  description = "Name of the Lambda function of the API."
  value       = aws_lambda_function.functions["score"].function_name
}

output "api_url" {
  description = "URL for POST requests with one transaction."
  value       = local.api_url
}

output "api_key_id" {
  description = "ID of the first client's API key. API Gateway returns its value to authorized callers."
  value       = aws_api_gateway_api_key.first.id
}

output "alarms_topic" {
  description = "ARN of the SNS topic of alarms."
  value       = aws_sns_topic.alarms.arn
}

output "client_policies" {
  description = "ARNs of IAM policies for clients of the streams and for clients of the API."
  value = {
    stream = aws_iam_policy.stream_client.arn
    score  = aws_iam_policy.score_client.arn
  }
}
