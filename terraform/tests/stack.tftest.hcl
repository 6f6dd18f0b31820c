# The whole stack on a mocked provider: how its modules are wired. Policies are mocked here and tested elsewhere.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }

  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/test" }
  }

  mock_resource "aws_kinesis_stream" {
    defaults = { arn = "arn:aws:kinesis:eu-central-1:123456789012:stream/readings" }
  }

  mock_resource "aws_kinesis_stream_consumer" {
    defaults = { arn = "arn:aws:kinesis:eu-central-1:123456789012:stream/readings/consumer/aggregator:1" }
  }

  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/device-statistics" }
  }

  mock_resource "aws_sqs_queue" {
    defaults = {
      arn = "arn:aws:sqs:eu-central-1:123456789012:dead-letters"
      url = "https://sqs.eu-central-1.amazonaws.com/123456789012/dead-letters"
    }
  }

  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::streamgauge-archive-123456789012" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/test" }
  }

  override_resource {
    target = aws_iam_role.put_records
    values = { arn = "arn:aws:iam::123456789012:role/put-records" }
  }

  override_resource {
    target = aws_iam_role.get_item
    values = { arn = "arn:aws:iam::123456789012:role/get-item" }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:test" }
  }

  mock_resource "aws_api_gateway_stage" {
    defaults = { arn = "arn:aws:apigateway:eu-central-1::/restapis/test/stages/v1" }
  }

  mock_resource "aws_lambda_alias" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:streamgauge-aggregator:live" }
  }

  mock_resource "aws_lambda_event_source_mapping" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:event-source-mapping:1" }
  }

  mock_resource "aws_quicksight_data_source" {
    defaults = { arn = "arn:aws:quicksight:eu-central-1:123456789012:datasource/streamgauge" }
  }

  mock_resource "aws_quicksight_data_set" {
    defaults = { arn = "arn:aws:quicksight:eu-central-1:123456789012:dataset/test" }
  }

  mock_resource "aws_quicksight_template" {
    defaults = { arn = "arn:aws:quicksight:eu-central-1:123456789012:template/streamgauge" }
  }

  mock_resource "aws_kinesis_firehose_delivery_stream" {
    defaults = { arn = "arn:aws:firehose:eu-central-1:123456789012:deliverystream/streamgauge-archive" }
  }
}

variables {
  region              = "eu-central-1"
  aggregator_zip_path = "tests/fixtures/function.zip"
}

run "one_apply_makes_the_stack" {
  assert {
    condition     = output.table_name == "device-statistics" && output.stream_name == "streamgauge-readings"
    error_message = "Table and stream must have the contract's names."
  }

  assert {
    condition     = local.archive_bucket_arn == "arn:aws:s3:::streamgauge-archive-123456789012"
    error_message = "The bucket's name must be the account's own."
  }

  assert {
    condition     = length(module.ingest) == 1 && module.stream.consumer_arn == null && module.dead_letter.message_bytes_max == 262144
    error_message = "Defaults must reach the modules."
  }
}

run "without_a_curator_there_is_no_curated_data" {
  assert {
    condition     = length(module.curator) == 0 && length(module.quicksight) == 0 && output.curated_delivery_stream_name == null && local.failure_prefix == "aws/lambda/"
    error_message = "The curator must be left out, and the queue be told of every failure."
  }

  assert {
    condition     = [for watched in keys(module.observability.alarm_arns) : watched if endswith(watched, "-not-invoked")] == ["aggregator-not-invoked"]
    error_message = "A stopped mapping must raise an alarm, and one that is not there none."
  }

  assert {
    condition     = output.athena_database_name == "streamgauge" && output.athena_workgroup_name == "streamgauge"
    error_message = "The archive must be there to be asked."
  }
}

run "a_curator_delivers_by_the_tables_schema" {
  variables {
    name             = "streamgauge-test"
    curator_zip_path = "tests/fixtures/function.zip"
  }

  assert {
    condition     = length(module.curator) == 1 && module.curator[0].function_name == "streamgauge-test-curator" && output.curated_delivery_stream_name == "streamgauge-test-curated"
    error_message = "There must be a curator."
  }

  assert {
    condition     = can(module.observability.alarm_arns["curator-not-invoked"])
    error_message = "The curator's mapping must not stop unnoticed."
  }

  assert {
    condition     = module.analytics.database_name == "streamgauge_test" && module.analytics.curated_table_name == "device_statistics"
    error_message = "The database must have a name that SQL needs no quotes for."
  }

  # The dead-letter queue is told of readings alone.
  assert {
    condition     = local.failure_prefix == "aws/lambda/${module.aggregator.event_source_mapping_uuid}/" && module.aggregator.event_source_mapping_uuid != ""
    error_message = "What the curator's mapping gives up must not reach the dead-letter queue."
  }
}

run "quicksight_is_there_where_it_is_asked_for" {
  variables {
    quicksight_enabled     = true
    quicksight_author_arns = ["arn:aws:quicksight:eu-central-1:123456789012:group/default/authors"]
  }

  assert {
    condition     = output.quicksight_dashboard_url == "https://eu-central-1.quicksight.aws.amazon.com/sn/dashboards/streamgauge" && length(module.quicksight[0].data_set_ids) == 3
    error_message = "There must be a dashboard over three data sets."
  }
}

run "without_the_api_the_rest_stands" {
  variables {
    ingest_enabled = false
  }

  assert {
    condition     = length(module.ingest) == 0 && output.url == null && output.api_keys == null
    error_message = "There must be no API."
  }

  assert {
    condition     = output.stream_name == "streamgauge-readings" && !can(module.observability.alarm_arns["api-errors"])
    error_message = "The rest of the stack must stand, and nothing watch an API."
  }
}

run "the_first_apply_of_the_dead_letter_queue_sets_no_redrive_policy" {
  module {
    source = "./modules/dead-letter"
  }

  variables {
    name               = "dead-letters"
    kms_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/test"
    archive_bucket_arn = "arn:aws:s3:::archive"
  }

  # The mock makes up a word for what is not configured; a policy would be JSON.
  assert {
    condition     = !can(jsondecode(aws_sqs_queue.this.redrive_policy))
    error_message = "The queue must have no redrive policy: looking must not move messages."
  }
}

run "the_api_is_deployed_after_what_reads_the_stream" {
  module {
    source = "./modules/ingest"
  }

  variables {
    name             = "test"
    openapi_document = file("../crates/gateway/openapi.yaml")
    stream_name      = "readings"
    stream_arn       = "arn:aws:kinesis:eu-central-1:123456789012:stream/readings"
    table_name       = "device-statistics"
    table_arn        = "arn:aws:dynamodb:eu-central-1:123456789012:table/device-statistics"
    kms_key_arn      = "arn:aws:kms:eu-central-1:123456789012:key/test"
    consumers        = ["mapping", "firehose"]
  }

  assert {
    condition     = aws_api_gateway_deployment.this.triggers["consumers"] == "mapping firehose"
    error_message = "The deployment must wait for the mapping and Firehose."
  }

  assert {
    condition     = aws_api_gateway_deployment.this.triggers["body"] == sha256(aws_api_gateway_rest_api.this.body)
    error_message = "Another body must be another deployment."
  }

  assert {
    condition     = aws_api_gateway_stage.this.deployment_id == aws_api_gateway_deployment.this.id
    error_message = "The stage must serve the deployment."
  }

  assert {
    condition = {
      for path, item in jsondecode(aws_api_gateway_rest_api.this.body).paths : path => values(item)[0]["x-amazon-apigateway-integration"].credentials if path != "/health"
      } == {
      "/data"        = aws_iam_role.put_record.arn
      "/data/series" = aws_iam_role.put_record.arn
      "/data/batch"  = aws_iam_role.put_records.arn
      "/"            = aws_iam_role.get_item.arn
    }
    error_message = "Every integration must have the role of its action."
  }
}

run "the_mapping_calls_the_alias_of_the_newest_version" {
  module {
    source = "./modules/aggregator"
  }

  variables {
    name                  = "aggregator"
    zip_path              = "tests/fixtures/function.zip"
    stream_arn            = "arn:aws:kinesis:eu-central-1:123456789012:stream/readings"
    table_name            = "device-statistics"
    table_arn             = "arn:aws:dynamodb:eu-central-1:123456789012:table/device-statistics"
    dead_letter_queue_url = "https://sqs.eu-central-1.amazonaws.com/123456789012/dead-letters"
    dead_letter_queue_arn = "arn:aws:sqs:eu-central-1:123456789012:dead-letters"
    archive_bucket_name   = "archive"
    archive_bucket_arn    = "arn:aws:s3:::archive"
    kms_key_arn           = "arn:aws:kms:eu-central-1:123456789012:key/test"
  }

  assert {
    condition     = aws_lambda_event_source_mapping.stream.function_name == "arn:aws:lambda:eu-central-1:123456789012:function:streamgauge-aggregator:live"
    error_message = "The mapping must call the alias, whose executions are kept warm, and not whatever was deployed last."
  }
}

run "the_curators_mapping_calls_the_alias_of_the_newest_version" {
  module {
    source = "./modules/curator"
  }

  variables {
    name                 = "curator"
    zip_path             = "tests/fixtures/function.zip"
    table_arn            = "arn:aws:dynamodb:eu-central-1:123456789012:table/device-statistics"
    change_stream_arn    = "arn:aws:dynamodb:eu-central-1:123456789012:table/device-statistics/stream/2026-01-01T00:00:00.000"
    delivery_stream_name = "curated"
    glue_database_name   = "streamgauge"
    glue_table_name      = "device_statistics"
    bucket_arn           = "arn:aws:s3:::archive"
    kms_key_arn          = "arn:aws:kms:eu-central-1:123456789012:key/test"
  }

  assert {
    condition     = aws_lambda_event_source_mapping.changes.function_name == "arn:aws:lambda:eu-central-1:123456789012:function:streamgauge-aggregator:live"
    error_message = "The mapping must call the alias, and not whatever was deployed last."
  }
}

run "analysis_and_dashboard_are_made_from_one_template" {
  module {
    source = "./modules/quicksight"
  }

  variables {
    name            = "test"
    definition_path = "../dashboards/quicksight"
    sql_path        = "../dashboards/athena"
    workgroup_name  = "analysts"
    database_name   = "readings"
    views           = { latest_statistics = "latest_statistics", statistics_history = "statistics_history", data_quality = "data_quality" }
    author_arns     = ["arn:aws:quicksight:eu-central-1:123456789012:group/default/authors"]
  }

  assert {
    condition = alltrue([
      for entity in [aws_quicksight_dashboard.this.source_entity[0], aws_quicksight_analysis.this.source_entity[0]] :
      entity.source_template[0].arn == aws_quicksight_template.this.arn
      && toset(entity.source_template[0].data_set_references[*].data_set_placeholder) == toset(aws_quicksight_template.this.definition[0].data_set_configuration[*].placeholder)
    ])
    error_message = "Analysis and dashboard must be the same sheets over the same data sets."
  }
}

run "the_alias_names_the_version_that_was_published" {
  module {
    source = "./modules/lambda"
  }

  variables {
    function_name = "function"
    description   = "A function"
    zip_path      = "tests/fixtures/function.zip"
    policy_json   = "{}"
    environment   = {}
    kms_key_arn   = "arn:aws:kms:eu-central-1:123456789012:key/test"
  }

  assert {
    condition     = aws_lambda_alias.live.function_version == aws_lambda_function.this.version && aws_lambda_alias.live.function_name == aws_lambda_function.this.function_name
    error_message = "The alias must name the version that was just published."
  }
}

run "waf_domain_and_usage_plan_are_those_of_the_stage" {
  module {
    source = "./modules/ingest"
  }

  variables {
    name             = "test"
    openapi_document = file("../crates/gateway/openapi.yaml")
    stream_name      = "readings"
    stream_arn       = "arn:aws:kinesis:eu-central-1:123456789012:stream/readings"
    table_name       = "device-statistics"
    table_arn        = "arn:aws:dynamodb:eu-central-1:123456789012:table/device-statistics"
    kms_key_arn      = "arn:aws:kms:eu-central-1:123456789012:key/test"
    consumers        = ["mapping", "firehose"]
    domain_name      = "readings.example.com"
    certificate_arn  = "arn:aws:acm:eu-central-1:123456789012:certificate/test"
    web_acl_arn      = "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/test/1"
  }

  assert {
    condition     = aws_wafv2_web_acl_association.this[0].resource_arn == aws_api_gateway_stage.this.arn
    error_message = "The web ACL must stand before this stage."
  }

  assert {
    condition = (
      aws_api_gateway_base_path_mapping.this[0].api_id == aws_api_gateway_rest_api.this.id
      && aws_api_gateway_base_path_mapping.this[0].stage_name == aws_api_gateway_stage.this.stage_name
      && aws_api_gateway_base_path_mapping.this[0].domain_name == "readings.example.com"
    )
    error_message = "The domain name must lead to this stage."
  }

  assert {
    condition = (
      one(aws_api_gateway_usage_plan.this.api_stages).api_id == aws_api_gateway_rest_api.this.id
      && one(aws_api_gateway_usage_plan.this.api_stages).stage == aws_api_gateway_stage.this.stage_name
      && aws_api_gateway_usage_plan_key.this["default"].usage_plan_id == aws_api_gateway_usage_plan.this.id
      && aws_api_gateway_usage_plan_key.this["default"].key_id == aws_api_gateway_api_key.this["default"].id
    )
    error_message = "The key must be one of this stage's usage plan, or it opens nothing."
  }

  assert {
    condition     = aws_api_gateway_method_settings.all.rest_api_id == aws_api_gateway_rest_api.this.id && aws_api_gateway_method_settings.all.stage_name == aws_api_gateway_stage.this.stage_name
    error_message = "Throttling and logging must be set for this stage."
  }
}
