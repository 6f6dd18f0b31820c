# QuickSight's data sets, sheets and permissions, by the real provider without an account.

provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "dummy"
  secret_key                  = "dummy"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
}

variables {
  name            = "test"
  definition_path = "../dashboards/quicksight"
  sql_path        = "../dashboards/athena"
  workgroup_name  = "analysts"
  database_name   = "readings_database"
  views           = { latest_statistics = "latest_statistics", statistics_history = "statistics_history", data_quality = "data_quality", readings = "readings", arrivals = "arrivals" }
  author_arns     = ["arn:aws:quicksight:eu-central-1:123456789012:group/default/authors"]
  viewer_arns     = ["arn:aws:quicksight:eu-central-1:123456789012:group/default/viewers", "arn:aws:quicksight:eu-central-1:123456789012:group/default/authors"]
}

run "data_sets_are_views_of_the_workgroup" {
  command = plan

  module {
    source = "./modules/quicksight"
  }

  assert {
    condition     = aws_quicksight_data_source.athena.type == "ATHENA" && aws_quicksight_data_source.athena.parameters[0].athena[0].work_group == "analysts" && !aws_quicksight_data_source.athena.ssl_properties[0].disable_ssl
    error_message = "QuickSight must ask in the workgroup, whose limit and encryption hold for it too."
  }

  assert {
    condition = {
      for view, data_set in aws_quicksight_data_set.this : view => [for table in data_set.physical_table_map : "${table.relational_table[0].schema}.${table.relational_table[0].name}"]
      } == {
      latest_statistics  = ["readings_database.latest_statistics"]
      statistics_history = ["readings_database.statistics_history"]
      data_quality       = ["readings_database.data_quality"]
    }
    error_message = "Every data set must be its view."
  }

  assert {
    condition = alltrue([
      for view, data_set in aws_quicksight_data_set.this : toset([for column in one(data_set.physical_table_map).relational_table[0].input_columns : "${column.name} ${column.type}"]) == toset([
        for column in jsondecode(file("../dashboards/athena/schema.json")).views[view].columns :
        "${column[0]} ${ { string = "STRING", int = "INTEGER", bigint = "INTEGER", double = "DECIMAL", timestamp = "DATETIME", boolean = "BOOLEAN" }[column[1]]}"
      ])
    ])
    error_message = "Every data set must have its view's columns, with QuickSight's types."
  }

  assert {
    condition = { for view, refresh in aws_quicksight_refresh_schedule.this : view => one(one(refresh.schedule).schedule_frequency).interval } == {
      latest_statistics = "HOURLY", statistics_history = "HOURLY", data_quality = "DAILY"
    }
    error_message = "What reads the raw archive must be refreshed by the day, and the rest by the hour."
  }
}

run "sheets_are_those_of_the_definition" {
  command = plan

  module {
    source = "./modules/quicksight"
  }

  assert {
    condition     = [for sheet in aws_quicksight_template.this.definition[0].sheets : sheet.name] == ["Fleet", "Distribution", "One device", "Anomalies", "Data quality"]
    error_message = "There must be a sheet for each reader, in the order in which they look."
  }

  # Each visual of the file has become one of its kind, with a place.
  assert {
    condition = {
      for sheet in aws_quicksight_template.this.definition[0].sheets : sheet.sheet_id => sort(flatten([
        for visual in sheet.visuals : concat(
          [for kind in visual.kpi_visual : "kpi ${kind.visual_id}"], [for kind in visual.line_chart_visual : "line ${kind.visual_id}"],
          [for kind in visual.bar_chart_visual : "bar ${kind.visual_id}"], [for kind in visual.histogram_visual : "histogram ${kind.visual_id}"],
          [for kind in visual.scatter_plot_visual : "scatter ${kind.visual_id}"], [for kind in visual.table_visual : "table ${kind.visual_id}"],
        )
      ]))
      } == {
      for sheet in jsondecode(file("../dashboards/quicksight/dashboard.json")).sheets : sheet.id => sort([for visual in sheet.visuals : "${visual.type} ${visual.id}"])
    }
    error_message = "Every visual of the definition must be there, as what it says it is."
  }

  assert {
    condition = alltrue([
      for sheet in aws_quicksight_template.this.definition[0].sheets :
      toset([for element in sheet.layouts[0].configuration[0].grid_layout[0].elements : element.element_id])
      == toset(concat(["${sheet.sheet_id}-purpose"], [for visual in one([for defined in jsondecode(file("../dashboards/quicksight/dashboard.json")).sheets : defined if defined.id == sheet.sheet_id]).visuals : visual.id]))
      && sheet.text_boxes[0].sheet_text_box_id == "${sheet.sheet_id}-purpose"
    ])
    error_message = "Every visual must have its place, under what the sheet is for."
  }

  assert {
    condition = [
      for value in one([for visual in aws_quicksight_template.this.definition[0].sheets[2].visuals : visual.line_chart_visual[0] if try(visual.line_chart_visual[0].visual_id, "") == "device-mean"]).chart_configuration[0].field_wells[0].line_chart_aggregated_field_wells[0].values :
      value.numerical_measure_field[0].column[0].column_name
    ] == ["mean_confidence_95_low", "mean", "mean_confidence_95_high", "median"]
    error_message = "A device must be shown by its mean with the confidence band, and its median."
  }

  assert {
    condition = (
      aws_quicksight_template.this.definition[0].filter_groups[0].filters[0].category_filter[0].column[0].column_name == "device_id"
      && aws_quicksight_template.this.definition[0].filter_groups[0].filters[0].category_filter[0].configuration[0].custom_filter_configuration[0].parameter_name == "device"
      && aws_quicksight_template.this.definition[0].filter_groups[0].scope_configuration[0].selected_sheets[0].sheet_visual_scoping_configurations[0].sheet_id == "device"
      && aws_quicksight_template.this.definition[0].sheets[2].parameter_controls[0].dropdown[0].source_parameter_name == "device"
    )
    error_message = "The sheet of one device must show the device that was chosen, and no other sheet be filtered."
  }

  assert {
    condition = toset(flatten([
      for visual in flatten(aws_quicksight_template.this.definition[0].sheets[*].visuals) : [
        for kind in concat(visual.kpi_visual[*].chart_configuration[0].field_wells[0].values) : [for value in kind : concat(
          value.numerical_measure_field[*].aggregation_function[0].simple_numerical_aggregation, value.categorical_measure_field[*].aggregation_function, value.date_measure_field[*].aggregation_function,
        )]
      ]
    ])) == toset(["DISTINCT_COUNT", "SUM", "MAX"])
    error_message = "Numbers at a glance must be devices, sums and the newest."
  }
}

run "permissions" {
  command = plan

  module {
    source = "./modules/quicksight"
  }

  assert {
    condition = {
      for permission in aws_quicksight_dashboard.this.permissions : reverse(split("/", permission.principal))[0] => permission.actions
      } == {
      authors = toset(["quicksight:DescribeDashboard", "quicksight:ListDashboardVersions", "quicksight:QueryDashboard"])
      viewers = toset(["quicksight:DescribeDashboard", "quicksight:ListDashboardVersions", "quicksight:QueryDashboard"])
    }
    error_message = "The dashboard must be looked at by viewers and authors, and changed by nobody."
  }

  assert {
    condition     = alltrue([for data_set in aws_quicksight_data_set.this : [for permission in data_set.permissions : reverse(split("/", permission.principal))[0]] == ["authors"]])
    error_message = "Data sets must be for authors alone."
  }

  assert {
    condition = !anytrue([
      for action in flatten([
        [for data_set in aws_quicksight_data_set.this : [for permission in data_set.permissions : tolist(permission.actions)]],
        [for permission in aws_quicksight_data_source.athena.permission : tolist(permission.actions)],
      ]) : can(regex(":(Update|Delete|Create)", action))
    ])
    error_message = "Authors may use data sets and source, and change neither."
  }

  assert {
    condition     = [for permission in aws_quicksight_analysis.this.permissions : reverse(split("/", permission.principal))[0]] == ["authors"]
    error_message = "The analysis must be for authors alone."
  }

  assert {
    condition     = aws_quicksight_dashboard.this.dashboard_publish_options[0].export_to_csv_option[0].availability_status == "DISABLED"
    error_message = "Data must not leave by the dashboard."
  }
}

run "direct_queries_need_no_refresh" {
  command = plan

  module {
    source = "./modules/quicksight"
  }

  variables {
    import_mode = "DIRECT_QUERY"
  }

  assert {
    condition     = length(aws_quicksight_refresh_schedule.this) == 0 && alltrue([for data_set in aws_quicksight_data_set.this : data_set.import_mode == "DIRECT_QUERY"])
    error_message = "What asks Athena at every look has nothing to refresh."
  }
}

run "a_dashboard_that_nobody_may_see_is_refused" {
  command = plan

  module {
    source = "./modules/quicksight"
  }

  variables {
    author_arns = []
  }

  expect_failures = [var.author_arns]
}
