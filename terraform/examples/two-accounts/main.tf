# The pipeline in one account, and its archive in another: who runs the pipeline, or breaks into it, can add to the archive
# and remove nothing.
#
# Bucket and key are the archive account's; everything else is the pipeline's, Firehose too: AWS documents that it writes to
# another account, and not that it reads from one. Each module takes the provider of its account. What crosses the border:
#
#   Firehose's role    -> bucket raw/, delivery-errors/           bucket policy, key policy
#   aggregator's role  -> bucket dead-letters/                    bucket policy, key policy
#   mapping, with the aggregator's role -> bucket aws/lambda/     the same
#   bucket's notification of aws/lambda/ -> dead-letter queue     queue policy, policy of the pipeline's key

provider "aws" {
  alias  = "pipeline"
  region = var.region

  default_tags {
    tags = { Project = "streamgauge", Stack = var.name }
  }
}

provider "aws" {
  alias  = "archive"
  region = var.region

  assume_role {
    role_arn = var.archive_deployment_role_arn
  }

  default_tags {
    tags = { Project = "streamgauge", Stack = var.name }
  }
}

data "aws_caller_identity" "pipeline" {
  provider = aws.pipeline
}

data "aws_caller_identity" "archive" {
  provider = aws.archive
}

data "aws_partition" "archive" {
  provider = aws.archive
}

locals {
  pipeline_account_id = data.aws_caller_identity.pipeline.account_id
  archive_account_id  = data.aws_caller_identity.archive.account_id
  archive_bucket_name = "${var.name}-archive-${local.archive_account_id}"
  # From its name: the dead-letter queue lets the bucket in before the bucket is there.
  archive_bucket_arn = "arn:${data.aws_partition.archive.partition}:s3:::${local.archive_bucket_name}"
}

module "encryption" {
  source    = "../../modules/encryption"
  providers = { aws = aws.pipeline }

  name              = var.name
  bucket_account_id = local.archive_account_id
}

module "archive_encryption" {
  source    = "../../modules/encryption"
  providers = { aws = aws.archive }

  name             = "${var.name}-archive"
  writer_role_arns = [module.archive_delivery.role_arn, module.aggregator.role_arn]
}

module "ingest" {
  source    = "../../modules/ingest"
  providers = { aws = aws.pipeline }

  name             = var.name
  openapi_document = file("${path.root}/../../../crates/gateway/openapi.yaml")
  stream_name      = module.stream.name
  stream_arn       = module.stream.arn
  table_name       = module.statistics.table_name
  table_arn        = module.statistics.table_arn
  kms_key_arn      = module.encryption.key_arn
  consumers        = [module.aggregator.event_source_mapping_arn, module.archive_delivery.arn]
}

module "stream" {
  source    = "../../modules/stream"
  providers = { aws = aws.pipeline }

  name        = "${var.name}-readings"
  kms_key_arn = module.encryption.key_arn
}

module "aggregator" {
  source    = "../../modules/aggregator"
  providers = { aws = aws.pipeline }

  name                  = "${var.name}-aggregator"
  zip_path              = var.aggregator_zip_path
  stream_arn            = module.stream.arn
  table_name            = module.statistics.table_name
  table_arn             = module.statistics.table_arn
  dead_letter_queue_url = module.dead_letter.queue_url
  dead_letter_queue_arn = module.dead_letter.queue_arn
  dead_letter_bytes_max = module.dead_letter.message_bytes_max
  archive_bucket_name   = module.archive.bucket_name
  archive_bucket_arn    = module.archive.bucket_arn
  archive_account_id    = local.archive_account_id
  archive_kms_key_arn   = module.archive_encryption.key_arn
  kms_key_arn           = module.encryption.key_arn
}

module "statistics" {
  source    = "../../modules/statistics"
  providers = { aws = aws.pipeline }

  kms_key_arn         = module.encryption.key_arn
  deletion_protection = var.deletion_protection
}

module "dead_letter" {
  source    = "../../modules/dead-letter"
  providers = { aws = aws.pipeline }

  name               = "${var.name}-dead-letters"
  kms_key_arn        = module.encryption.key_arn
  archive_bucket_arn = local.archive_bucket_arn
  archive_account_id = local.archive_account_id
  alarm_actions      = var.alarm_actions
}

module "archive" {
  source    = "../../modules/archive"
  providers = { aws = aws.archive }

  bucket_name           = local.archive_bucket_name
  dead_letter_queue_arn = module.dead_letter.queue_arn
  kms_key_arn           = module.archive_encryption.key_arn
  delivery_role_arn     = module.archive_delivery.role_arn
  aggregator_role_arn   = module.aggregator.role_arn
  object_lock_days      = var.archive_object_lock_days
  force_destroy         = !var.deletion_protection
}

module "archive_delivery" {
  source    = "../../modules/archive-delivery"
  providers = { aws = aws.pipeline }

  name               = "${var.name}-archive"
  stream_arn         = module.stream.arn
  bucket_arn         = module.archive.bucket_arn
  bucket_account_id  = local.archive_account_id
  bucket_kms_key_arn = module.archive_encryption.key_arn
  kms_key_arn        = module.encryption.key_arn
}

module "observability" {
  source    = "../../modules/observability"
  providers = { aws = aws.pipeline }

  name                   = var.name
  api_name               = module.ingest.api_name
  api_stage_name         = module.ingest.stage_name
  stream_name            = module.stream.name
  function_name          = module.aggregator.function_name
  table_name             = module.statistics.table_name
  dead_letter_queue_name = module.dead_letter.queue_name
  delivery_stream_name   = module.archive_delivery.name

  dashboard_template_path = "${path.root}/../../../dashboards/cloudwatch/dashboard.json.tftpl"
  alarm_actions           = var.alarm_actions
}
