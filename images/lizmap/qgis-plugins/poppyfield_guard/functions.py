"""Which functions and variables of QGIS's expressions a visitor may use, and for each function why, or why not.

A function that stands nowhere here is refused. The tests ask QGIS for all that it has, and want each to stand here.
"""

from __future__ import annotations

ALLOWED_FOR = {
    "tells of the feature itself": """
        $area $geometry $id $length $perimeter $x $x_at $y $y_at $z
    """,
    "compares": """
        coalesce if nullif try
    """,
    "calculates": """
        abs acos asin atan atan2 ceil clamp cos degrees exp floor ln log log10 max min pi radians round
        scale_exponential scale_linear scale_polynomial sin sqrt tan
    """,
    "compares or formats text": """
        ascii char concat hamming_distance left length levenshtein longest_common_substring lower ltrim right rtrim
        soundex strpos substr title trim upper
    """,
    "converts a value": """
        to_date to_datetime to_decimal to_dm to_dms to_int to_interval to_real to_string to_time
    """,
    "calculates with dates, or formats them": """
        age datetime_from_epoch day day_of_week epoch format_date hour make_date make_datetime make_interval make_time
        minute month now second week year
    """,
    "compares or looks up in a list": """
        array array_all array_contains array_find array_first array_get array_last array_length array_to_string
        string_to_array
    """,
    "tells how shapes lie to each other": """
        azimuth bearing contains crosses disjoint distance hausdorff_distance inclination intersects intersects_bbox
        is_closed is_empty is_empty_or_null is_multipart is_valid overlaps relate touches within
    """,
    "reads or measures a shape": """
        area bounds bounds_height bounds_width centroid end_point geom_from_gml geom_from_wkb geom_from_wkt
        geom_to_wkb geom_to_wkt geometry_type length3D m main_angle make_point num_geometries num_interior_rings
        num_points num_rings perimeter point_on_surface start_point transform x x_max x_min y y_max y_min z z_max
        z_min
    """,
}

REFUSED_FOR = {
    "evaluates text as an expression": """
        eval eval_template
    """,
    "writes": """
        set_color_part sqlite_fetch_and_increment
    """,
    "reads files, addresses or the environment": """
        base_file_name env exif exif_geotag file_exists file_name file_path file_size file_suffix is_directory is_file
        load_layer
    """,
    "looks into other layers, features or rasters": """
        aggregate array_agg attribute attributes collect concatenate concatenate_unique count count_distinct
        count_missing display_expression feature_id geometry get_feature get_feature_by_id iqr is_selected majority
        maptip max_length maximum mean median min_length minimum minority num_selected overlay_contains
        overlay_crosses overlay_disjoint overlay_equals overlay_intersects overlay_nearest overlay_touches
        overlay_within q1 q3 range raster_attributes raster_statistic raster_value relation_aggregate
        represent_attributes represent_value sensor_data stdev sum
    """,
    "tells of the project, the server or the drawing": """
        $currentfeature $scale current_parent_value current_value decode_uri is_attribute_valid is_feature_valid
        is_layer_visible item_variables layer_property map_credits parameter project_color project_color_object
    """,
    "keeps or repeats expressions": """
        array_count array_filter array_foreach var with_variable
    """,
    "could take time or memory without end": """
        array_append array_cat array_distinct array_insert array_intersect array_majority array_max array_mean
        array_median array_min array_minority array_prepend array_prioritize array_remove_all array_remove_at
        array_replace array_reverse array_slice array_sort array_sum format format_number from_base64 from_json
        generate_series lpad regexp_match regexp_matches regexp_replace regexp_substr replace reverse rpad to_base64
        to_json wordwrap
    """,
    "makes what no filter needs: random numbers, checksums and the like": """
        hash md5 mime_type rand randf sha256 uuid
    """,
    "makes what no filter needs: maps of values": """
        hstore_to_map map map_akeys map_avals map_concat map_delete map_exist map_get map_insert map_prefix_keys
        map_to_hstore map_to_html_dl map_to_html_table url_encode
    """,
    "makes what no filter needs: colours": """
        color_cmyk color_cmyka color_cmykf color_grayscale_average color_hsl color_hsla color_hslf color_hsv
        color_hsva color_hsvf color_mix color_mix_rgb color_part color_rgb color_rgba color_rgbf create_ramp darker
        lighter ramp_color ramp_color_object
    """,
    "makes what no filter needs: new shapes": """
        affine_transform angle_at_vertex apply_dash_pattern boundary buffer buffer_by_m close_line closest_point
        collect_geometries combine concave_hull convex_hull densify_by_count densify_by_distance difference
        distance_to_vertex extend exterior_ring extrude flip_coordinates force_polygon_ccw force_polygon_cw force_rhr
        geometries_to_array geometry_n interior_ring_n intersection line_interpolate_angle line_interpolate_point
        line_interpolate_point_by_m line_locate_m line_locate_point line_merge line_substring m_at m_max m_min
        make_circle make_ellipse make_line make_point_m make_polygon make_rectangle_3points make_regular_polygon
        make_square make_triangle make_valid minimal_circle nodes_to_points offset_curve order_parts oriented_bbox
        point_n pole_of_inaccessibility project rotate roundness scale segments_to_lines shared_paths shortest_line
        simplify simplify_vw single_sided_buffer sinuosity smooth square_wave square_wave_randomized
        straight_distance_2d sym_difference tapered_buffer translate triangular_wave triangular_wave_randomized union
        wave wave_randomized wedge_buffer x_at y_at z_at
    """,
}

ALLOWED_VARIABLES = frozenset({"geometry", "id", "lizmap_user", "lizmap_user_groups"})


def _by_name(groups: dict[str, str]) -> dict[str, str]:
    return {name: why for why, names in groups.items() for name in names.split()}


ALLOWED = _by_name(ALLOWED_FOR)
REFUSED = _by_name(REFUSED_FOR)
