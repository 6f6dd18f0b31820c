# The sheets of dashboards/quicksight/dashboard.json as a template: analysis and dashboard are both made from it, so that they
# cannot differ. One resource, and so one long file: one kind of visual after another. What each shows is in local.sheets.

resource "aws_quicksight_template" "this" {
  template_id         = var.name
  name                = var.name
  version_description = "Of definition ${local.digest}"

  definition {
    dynamic "data_set_configuration" {
      for_each = local.data_sets

      content {
        placeholder = data_set_configuration.key

        data_set_schema {
          dynamic "column_schema_list" {
            for_each = data_set_configuration.value.columns

            content {
              name      = column_schema_list.value.name
              data_type = column_schema_list.value.type
            }
          }
        }
      }
    }

    dynamic "calculated_fields" {
      for_each = local.definition.calculated

      content {
        data_set_identifier = calculated_fields.value.data_set
        name                = calculated_fields.value.name
        expression          = calculated_fields.value.expression
      }
    }

    parameters_declarations {
      string_parameter_declaration {
        name                 = local.parameter.name
        parameter_value_type = "SINGLE_VALUED"

        default_values {
          static_values = [local.parameter.default]
        }
      }
    }

    filter_groups {
      filter_group_id = "device"
      cross_dataset   = "SINGLE_DATASET"
      status          = "ENABLED"

      filters {
        category_filter {
          filter_id = "device"

          column {
            data_set_identifier = local.parameter.data_set
            column_name         = local.parameter.column
          }

          configuration {
            custom_filter_configuration {
              match_operator = "EQUALS"
              null_option    = "NON_NULLS_ONLY"
              parameter_name = local.parameter.name
            }
          }
        }
      }

      scope_configuration {
        selected_sheets {
          sheet_visual_scoping_configurations {
            sheet_id = local.parameter.sheet
            scope    = "ALL_VISUALS"
          }
        }
      }
    }

    dynamic "sheets" {
      for_each = local.sheets

      content {
        sheet_id     = sheets.value.id
        name         = sheets.value.name
        title        = sheets.value.name
        description  = sheets.value.purpose
        content_type = "INTERACTIVE"

        text_boxes {
          sheet_text_box_id = "${sheets.value.id}-purpose"
          content           = "<text-box>${sheets.value.purpose}</text-box>"
        }

        dynamic "parameter_controls" {
          for_each = sheets.value.id == local.parameter.sheet ? [local.parameter] : []

          content {
            dropdown {
              parameter_control_id  = "device"
              source_parameter_name = parameter_controls.value.name
              title                 = parameter_controls.value.title
              type                  = "SINGLE_SELECT"

              selectable_values {
                link_to_data_set_column {
                  data_set_identifier = parameter_controls.value.data_set
                  column_name         = parameter_controls.value.column
                }
              }
            }
          }
        }

        layouts {
          configuration {
            grid_layout {
              canvas_size_options {
                screen_canvas_size_options {
                  resize_option             = "FIXED"
                  optimized_view_port_width = "1600px"
                }
              }

              # Whom the sheet is for stands above it, two rows high.
              elements {
                element_id   = "${sheets.value.id}-purpose"
                element_type = "TEXT_BOX"
                column_index = "0"
                column_span  = 36
                row_index    = "0"
                row_span     = 2
              }

              dynamic "elements" {
                for_each = sheets.value.visuals

                content {
                  element_id   = elements.value.id
                  element_type = "VISUAL"
                  column_index = tostring(elements.value.place[0])
                  row_index    = tostring(elements.value.place[1] + 2)
                  column_span  = elements.value.place[2]
                  row_span     = elements.value.place[3]
                }
              }
            }
          }
        }

        dynamic "visuals" {
          for_each = sheets.value.visuals

          content {
            dynamic "kpi_visual" {
              for_each = visuals.value.type == "kpi" ? [visuals.value] : []
              iterator = visual

              content {
                visual_id = visual.value.id

                title {
                  visibility = "VISIBLE"

                  format_text {
                    plain_text = visual.value.title
                  }
                }

                subtitle {
                  visibility = visual.value.subtitle == "" ? "HIDDEN" : "VISIBLE"

                  format_text {
                    plain_text = visual.value.subtitle == "" ? visual.value.title : visual.value.subtitle
                  }
                }

                chart_configuration {
                  field_wells {
                    dynamic "values" {
                      for_each = visual.value.values

                      content {
                        dynamic "categorical_measure_field" {
                          for_each = values.value.kind == "STRING" ? [values.value] : []

                          content {
                            field_id             = categorical_measure_field.value.field_id
                            aggregation_function = categorical_measure_field.value.aggregate

                            column {
                              data_set_identifier = categorical_measure_field.value.data_set
                              column_name         = categorical_measure_field.value.column
                            }
                          }
                        }

                        dynamic "date_measure_field" {
                          for_each = values.value.kind == "DATETIME" ? [values.value] : []

                          content {
                            field_id             = date_measure_field.value.field_id
                            aggregation_function = date_measure_field.value.aggregate

                            column {
                              data_set_identifier = date_measure_field.value.data_set
                              column_name         = date_measure_field.value.column
                            }
                          }
                        }

                        dynamic "numerical_measure_field" {
                          for_each = contains(["INTEGER", "DECIMAL"], values.value.kind) ? [values.value] : []

                          content {
                            field_id = numerical_measure_field.value.field_id

                            aggregation_function {
                              simple_numerical_aggregation = numerical_measure_field.value.aggregate
                            }

                            column {
                              data_set_identifier = numerical_measure_field.value.data_set
                              column_name         = numerical_measure_field.value.column
                            }
                          }
                        }
                      }
                    }
                  }
                }
              }
            }

            dynamic "line_chart_visual" {
              for_each = visuals.value.type == "line" ? [visuals.value] : []
              iterator = visual

              content {
                visual_id = visual.value.id

                title {
                  visibility = "VISIBLE"

                  format_text {
                    plain_text = visual.value.title
                  }
                }

                subtitle {
                  visibility = visual.value.subtitle == "" ? "HIDDEN" : "VISIBLE"

                  format_text {
                    plain_text = visual.value.subtitle == "" ? visual.value.title : visual.value.subtitle
                  }
                }

                chart_configuration {
                  type = "LINE"

                  field_wells {
                    line_chart_aggregated_field_wells {
                      category {
                        dynamic "categorical_dimension_field" {
                          for_each = visual.value.category.kind == "STRING" ? [visual.value.category] : []

                          content {
                            field_id = categorical_dimension_field.value.field_id

                            column {
                              data_set_identifier = categorical_dimension_field.value.data_set
                              column_name         = categorical_dimension_field.value.column
                            }
                          }
                        }

                        dynamic "date_dimension_field" {
                          for_each = visual.value.category.kind == "DATETIME" ? [visual.value.category] : []

                          content {
                            field_id         = date_dimension_field.value.field_id
                            date_granularity = date_dimension_field.value.granularity

                            column {
                              data_set_identifier = date_dimension_field.value.data_set
                              column_name         = date_dimension_field.value.column
                            }
                          }
                        }
                      }

                      dynamic "values" {
                        for_each = visual.value.values

                        content {
                          numerical_measure_field {
                            field_id = values.value.field_id

                            aggregation_function {
                              simple_numerical_aggregation = values.value.aggregate
                            }

                            column {
                              data_set_identifier = values.value.data_set
                              column_name         = values.value.column
                            }
                          }
                        }
                      }
                    }
                  }

                  primary_y_axis_label_options {
                    axis_label_options {
                      custom_label = visual.value.axis
                    }
                  }
                }
              }
            }

            dynamic "bar_chart_visual" {
              for_each = visuals.value.type == "bar" ? [visuals.value] : []
              iterator = visual

              content {
                visual_id = visual.value.id

                title {
                  visibility = "VISIBLE"

                  format_text {
                    plain_text = visual.value.title
                  }
                }

                subtitle {
                  visibility = visual.value.subtitle == "" ? "HIDDEN" : "VISIBLE"

                  format_text {
                    plain_text = visual.value.subtitle == "" ? visual.value.title : visual.value.subtitle
                  }
                }

                chart_configuration {
                  orientation      = visual.value.category.kind == "DATETIME" ? "VERTICAL" : "HORIZONTAL"
                  bars_arrangement = "STACKED"

                  field_wells {
                    bar_chart_aggregated_field_wells {
                      category {
                        dynamic "categorical_dimension_field" {
                          for_each = visual.value.category.kind == "STRING" ? [visual.value.category] : []

                          content {
                            field_id = categorical_dimension_field.value.field_id

                            column {
                              data_set_identifier = categorical_dimension_field.value.data_set
                              column_name         = categorical_dimension_field.value.column
                            }
                          }
                        }

                        dynamic "date_dimension_field" {
                          for_each = visual.value.category.kind == "DATETIME" ? [visual.value.category] : []

                          content {
                            field_id         = date_dimension_field.value.field_id
                            date_granularity = date_dimension_field.value.granularity

                            column {
                              data_set_identifier = date_dimension_field.value.data_set
                              column_name         = date_dimension_field.value.column
                            }
                          }
                        }
                      }

                      dynamic "values" {
                        for_each = visual.value.values

                        content {
                          dynamic "categorical_measure_field" {
                            for_each = values.value.kind == "STRING" ? [values.value] : []

                            content {
                              field_id             = categorical_measure_field.value.field_id
                              aggregation_function = categorical_measure_field.value.aggregate

                              column {
                                data_set_identifier = categorical_measure_field.value.data_set
                                column_name         = categorical_measure_field.value.column
                              }
                            }
                          }

                          dynamic "date_measure_field" {
                            for_each = values.value.kind == "DATETIME" ? [values.value] : []

                            content {
                              field_id             = date_measure_field.value.field_id
                              aggregation_function = date_measure_field.value.aggregate

                              column {
                                data_set_identifier = date_measure_field.value.data_set
                                column_name         = date_measure_field.value.column
                              }
                            }
                          }

                          dynamic "numerical_measure_field" {
                            for_each = contains(["INTEGER", "DECIMAL"], values.value.kind) ? [values.value] : []

                            content {
                              field_id = numerical_measure_field.value.field_id

                              aggregation_function {
                                simple_numerical_aggregation = numerical_measure_field.value.aggregate
                              }

                              column {
                                data_set_identifier = numerical_measure_field.value.data_set
                                column_name         = numerical_measure_field.value.column
                              }
                            }
                          }
                        }
                      }
                    }
                  }

                  sort_configuration {
                    category_items_limit {
                      items_limit      = visual.value.limit
                      other_categories = "EXCLUDE"
                    }

                    # Names in their order, devices by what they are worst in.
                    category_sort {
                      field_sort {
                        field_id  = visual.value.sorts_by_value ? visual.value.values[0].field_id : visual.value.category.field_id
                        direction = visual.value.sorts_by_value ? "DESC" : "ASC"
                      }
                    }
                  }
                }
              }
            }

            dynamic "histogram_visual" {
              for_each = visuals.value.type == "histogram" ? [visuals.value] : []
              iterator = visual

              content {
                visual_id = visual.value.id

                title {
                  visibility = "VISIBLE"

                  format_text {
                    plain_text = visual.value.title
                  }
                }

                subtitle {
                  visibility = visual.value.subtitle == "" ? "HIDDEN" : "VISIBLE"

                  format_text {
                    plain_text = visual.value.subtitle == "" ? visual.value.title : visual.value.subtitle
                  }
                }

                chart_configuration {
                  field_wells {
                    histogram_aggregated_field_wells {
                      dynamic "values" {
                        for_each = visual.value.values

                        content {
                          numerical_measure_field {
                            field_id = values.value.field_id

                            aggregation_function {
                              simple_numerical_aggregation = values.value.aggregate
                            }

                            column {
                              data_set_identifier = values.value.data_set
                              column_name         = values.value.column
                            }
                          }
                        }
                      }
                    }
                  }

                  bin_options {
                    selected_bin_type = "BIN_COUNT"

                    bin_count {
                      value = 30
                    }
                  }

                  x_axis_label_options {
                    axis_label_options {
                      custom_label = visual.value.axis
                    }
                  }
                }
              }
            }

            dynamic "scatter_plot_visual" {
              for_each = visuals.value.type == "scatter" ? [visuals.value] : []
              iterator = visual

              content {
                visual_id = visual.value.id

                title {
                  visibility = "VISIBLE"

                  format_text {
                    plain_text = visual.value.title
                  }
                }

                subtitle {
                  visibility = visual.value.subtitle == "" ? "HIDDEN" : "VISIBLE"

                  format_text {
                    plain_text = visual.value.subtitle == "" ? visual.value.title : visual.value.subtitle
                  }
                }

                chart_configuration {
                  field_wells {
                    scatter_plot_categorically_aggregated_field_wells {
                      category {
                        dynamic "categorical_dimension_field" {
                          for_each = visual.value.category.kind == "STRING" ? [visual.value.category] : []

                          content {
                            field_id = categorical_dimension_field.value.field_id

                            column {
                              data_set_identifier = categorical_dimension_field.value.data_set
                              column_name         = categorical_dimension_field.value.column
                            }
                          }
                        }
                      }

                      dynamic "x_axis" {
                        for_each = [visual.value.x]

                        content {
                          numerical_measure_field {
                            field_id = x_axis.value.field_id

                            aggregation_function {
                              simple_numerical_aggregation = x_axis.value.aggregate
                            }

                            column {
                              data_set_identifier = x_axis.value.data_set
                              column_name         = x_axis.value.column
                            }
                          }
                        }
                      }

                      dynamic "y_axis" {
                        for_each = [visual.value.y]

                        content {
                          numerical_measure_field {
                            field_id = y_axis.value.field_id

                            aggregation_function {
                              simple_numerical_aggregation = y_axis.value.aggregate
                            }

                            column {
                              data_set_identifier = y_axis.value.data_set
                              column_name         = y_axis.value.column
                            }
                          }
                        }
                      }
                    }
                  }
                }
              }
            }

            dynamic "table_visual" {
              for_each = visuals.value.type == "table" ? [visuals.value] : []
              iterator = visual

              content {
                visual_id = visual.value.id

                title {
                  visibility = "VISIBLE"

                  format_text {
                    plain_text = visual.value.title
                  }
                }

                subtitle {
                  visibility = visual.value.subtitle == "" ? "HIDDEN" : "VISIBLE"

                  format_text {
                    plain_text = visual.value.subtitle == "" ? visual.value.title : visual.value.subtitle
                  }
                }

                chart_configuration {
                  field_wells {
                    table_unaggregated_field_wells {
                      dynamic "values" {
                        for_each = visual.value.columns

                        content {
                          field_id = values.value.field_id

                          column {
                            data_set_identifier = values.value.data_set
                            column_name         = values.value.column
                          }
                        }
                      }
                    }
                  }

                  sort_configuration {
                    row_sort {
                      field_sort {
                        field_id  = visual.value.sort.field_id
                        direction = visual.value.sort.direction
                      }
                    }
                  }
                }
              }
            }
          }
        }
      }
    }
  }
}
