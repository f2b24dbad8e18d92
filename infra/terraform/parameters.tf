# Names and addresses of resources, for commands and programs outside of this stack.
locals {
  parameters = merge(local.model_parameters, {
    "streams/transactions" = one(aws_kinesis_stream.transactions[*].name)
    "streams/decisions"    = aws_kinesis_stream.decisions.name
    "kafka/bootstrap"      = one(aws_msk_serverless_cluster.transactions[*].bootstrap_brokers_sasl_iam)
    "queues/dead-letters"  = aws_sqs_queue.queues["dead-letters"].url
    "queues/abandoned"     = aws_sqs_queue.queues["abandoned"].url
    "tables/cards"         = aws_dynamodb_table.cards.name
    "buckets/data"         = module.data_bucket.name
    "api/url"              = local.api_url
    "api/key-id"           = aws_api_gateway_api_key.first.id
    "topics/alarms"        = aws_sns_topic.alarms.arn
  })

  # The keys must be known when the plan is made.
  absent_parameters = local.on_msk ? ["streams/transactions"] : ["kafka/bootstrap"]
}

resource "aws_ssm_parameter" "ground" {
  #checkov:skip=CKV2_AWS_34:these are addresses, which outputs show as well, and encrypted ones would need the key for every reader
  for_each = setsubtract(keys(local.parameters), local.absent_parameters)

  name           = "/${local.prefix}/${each.key}"
  type           = "String"
  insecure_value = local.parameters[each.key]
}
