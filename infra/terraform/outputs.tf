# What commands ask for. Of models and jobs: outputs_models.tf.

locals {
  api_url = "${aws_api_gateway_stage.live.invoke_url}/v1/score"
}

output "prefix" {
  description = "What every name begins with."
  value       = local.prefix
}

output "region" {
  description = "Where everything is."
  value       = var.region
}

output "ingress" {
  description = "Where transactions come in: kinesis or msk."
  value       = var.ingress
}

output "transactions_stream" {
  description = "The Kinesis stream of transactions; null with MSK."
  value       = one(aws_kinesis_stream.transactions[*].name)
}

output "kafka_bootstrap" {
  description = "The brokers, for clients that sign with IAM; null with Kinesis."
  value       = one(aws_msk_serverless_cluster.transactions[*].bootstrap_brokers_sasl_iam)
}

output "decisions_stream" {
  description = "The Kinesis stream of decisions."
  value       = aws_kinesis_stream.decisions.name
}

output "cards_table" {
  description = "The DynamoDB table of card states."
  value       = aws_dynamodb_table.cards.name
}

output "data_bucket" {
  description = "The bucket of all that is kept."
  value       = module.data_bucket.name
}

output "dead_letters_queue_url" {
  description = "The SQS queue of records that nobody could read."
  value       = aws_sqs_queue.queues["dead-letters"].url
}

output "abandoned_queue_url" {
  description = "The SQS queue of batches that were given up."
  value       = aws_sqs_queue.queues["abandoned"].url
}

output "stream_function" {
  description = "The Lambda function that decides."
  value       = aws_lambda_function.functions["stream"].function_name
}

output "score_function" {
  description = "The Lambda function behind the API."
  value       = aws_lambda_function.functions["score"].function_name
}

output "api_url" {
  description = "Where to POST one transaction."
  value       = local.api_url
}

output "api_key_id" {
  description = "The first caller's API key; its value is asked of API Gateway, by whoever may."
  value       = aws_api_gateway_api_key.first.id
}

output "alarms_topic" {
  description = "The SNS topic that alarms are told to."
  value       = aws_sns_topic.alarms.arn
}

output "client_policies" {
  description = "IAM policies to attach to whoever sends transactions, and to whoever asks the API."
  value = {
    stream = aws_iam_policy.stream_client.arn
    score  = aws_iam_policy.score_client.arn
  }
}
