# QuickSight over Athena: data source, data sets, and a template of the sheets from which analysis and dashboard are made.

data "aws_region" "current" {}

locals {
  definition = jsondecode(file("${var.definition_path}/dashboard.json"))
  views      = jsondecode(file("${var.sql_path}/schema.json")).views
  parameter  = local.definition.device_parameter
  digest     = substr(sha256(jsonencode([local.definition, local.data_sets])), 0, 16)

  quicksight_types = { string = "STRING", int = "INTEGER", bigint = "INTEGER", double = "DECIMAL", timestamp = "DATETIME", boolean = "BOOLEAN" }

  data_sets = {
    for view, data_set in local.definition.data_sets : view => merge(data_set, {
      columns = [for column in local.views[view].columns : { name = column[0], type = local.quicksight_types[column[1]] }]
    })
  }

  # Data set -> column -> type, calculated columns among them.
  types = {
    for view, data_set in local.data_sets : view => merge(
      { for column in data_set.columns : column.name => column.type },
      { for field in local.definition.calculated : field.name => field.type if field.data_set == view },
    )
  }

  # Each visual with every member that a visual may have, and each column with its type and a field's id of its own.
  sheets = [
    for sheet in local.definition.sheets : merge(sheet, {
      visuals = [
        for visual in sheet.visuals : {
          id       = visual.id
          type     = visual.type
          title    = visual.title
          subtitle = try(visual.subtitle, "")
          place    = visual.place
          axis     = try(visual.axis, visual.title)
          limit    = try(visual.limit, 200)
          # A ranking has a limit.
          sorts_by_value = can(visual.limit)
          values = [
            for value in try(visual.values, []) : {
              field_id  = "${visual.id}.${value[0]}.${lower(value[1])}"
              data_set  = visual.data_set
              column    = value[0]
              kind      = local.types[visual.data_set][value[0]]
              aggregate = value[1]
            }
          ]
          category = can(visual.category) ? {
            field_id    = "${visual.id}.${visual.category[0]}"
            data_set    = visual.data_set
            column      = visual.category[0]
            kind        = local.types[visual.data_set][visual.category[0]]
            granularity = try(visual.category[1], null)
          } : null
          x = can(visual.x) ? { field_id = "${visual.id}.x", data_set = visual.data_set, column = visual.x[0], aggregate = visual.x[1] } : null
          y = can(visual.y) ? { field_id = "${visual.id}.y", data_set = visual.data_set, column = visual.y[0], aggregate = visual.y[1] } : null
          columns = [
            for column in try(visual.columns, []) : { field_id = "${visual.id}.${column}", data_set = visual.data_set, column = column }
          ]
          sort = can(visual.sort) ? { field_id = "${visual.id}.${visual.sort[0]}", direction = visual.sort[1] } : null
        }
      ]
    })
  ]
}

resource "aws_quicksight_data_source" "athena" {
  data_source_id = var.name
  name           = var.name
  type           = "ATHENA"

  parameters {
    athena {
      work_group = var.workgroup_name
    }
  }

  ssl_properties {
    disable_ssl = false
  }

  dynamic "permission" {
    for_each = var.author_arns

    content {
      principal = permission.value
      actions   = local.author_actions.data_source
    }
  }
}

resource "aws_quicksight_data_set" "this" {
  for_each = local.data_sets

  data_set_id = "${var.name}-${replace(each.key, "_", "-")}"
  name        = "${var.name}: ${each.value.name}"
  import_mode = var.import_mode

  physical_table_map {
    physical_table_map_id = replace(each.key, "_", "-")

    relational_table {
      data_source_arn = aws_quicksight_data_source.athena.arn
      catalog         = "AwsDataCatalog"
      schema          = var.database_name
      name            = var.views[each.key]

      dynamic "input_columns" {
        for_each = each.value.columns

        content {
          name = input_columns.value.name
          type = input_columns.value.type
        }
      }
    }
  }

  dynamic "permissions" {
    for_each = var.author_arns

    content {
      principal = permissions.value
      actions   = local.author_actions.data_set
    }
  }
}

# What reads the curated data alone is fresh to the hour; what reads the raw archive, to the day.
resource "aws_quicksight_refresh_schedule" "this" {
  for_each = var.import_mode == "SPICE" ? local.data_sets : {}

  data_set_id = aws_quicksight_data_set.this[each.key].data_set_id
  schedule_id = lower(each.value.refresh)

  schedule {
    refresh_type = "FULL_REFRESH"

    schedule_frequency {
      interval        = each.value.refresh
      time_of_the_day = each.value.refresh == "DAILY" ? "03:00" : null
    }
  }
}

resource "aws_quicksight_analysis" "this" {
  analysis_id = var.name
  name        = var.name

  source_entity {
    source_template {
      arn = aws_quicksight_template.this.arn

      dynamic "data_set_references" {
        for_each = aws_quicksight_data_set.this

        content {
          data_set_placeholder = data_set_references.key
          data_set_arn         = data_set_references.value.arn
        }
      }
    }
  }

  dynamic "permissions" {
    for_each = var.author_arns

    content {
      principal = permissions.value
      actions   = local.author_actions.analysis
    }
  }
}

resource "aws_quicksight_dashboard" "this" {
  dashboard_id        = var.name
  name                = var.name
  version_description = aws_quicksight_template.this.version_description

  source_entity {
    source_template {
      arn = aws_quicksight_template.this.arn

      dynamic "data_set_references" {
        for_each = aws_quicksight_data_set.this

        content {
          data_set_placeholder = data_set_references.key
          data_set_arn         = data_set_references.value.arn
        }
      }
    }
  }

  dashboard_publish_options {
    # Data leave QuickSight by Athena, whose questions are logged, or not at all.
    export_to_csv_option {
      availability_status = "DISABLED"
    }
  }

  dynamic "permissions" {
    for_each = toset([for arn in var.viewer_arns : arn if !contains(var.author_arns, arn)])

    content {
      principal = permissions.value
      actions   = local.viewer_actions
    }
  }

  dynamic "permissions" {
    for_each = var.author_arns

    content {
      principal = permissions.value
      actions   = local.author_actions.dashboard
    }
  }
}
