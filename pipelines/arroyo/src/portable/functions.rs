//! The functions that Arroyo 0.16 has: DataFusion 48's, those of `datafusion-functions-json` 0.48, and its own.
//!
//! Names only, read from those crates' sources; the order is the alphabet's.

/// One row each.
const SCALAR: &str = "abs acos acosh array_any_value array_append array_cat array_concat array_contains array_dims \
array_distance array_distinct array_element array_empty array_except array_extract array_has array_has_all array_has_any \
array_indexof array_intersect array_join array_length array_max array_ndims array_pop_back array_pop_front array_position \
array_positions array_prepend array_push_back array_push_front array_remove array_remove_all array_remove_n array_repeat \
array_replace array_replace_all array_replace_n array_resize array_reverse array_slice array_sort array_to_string \
array_union arrays_overlap arrow_cast arrow_typeof ascii asin asinh atan atan2 atanh bit_length btrim cardinality cbrt \
ceil char_length character_length chr coalesce concat concat_ws contains cos cosh cot current_date current_time \
current_timestamp date_bin date_format date_part date_trunc datepart datetrunc decode degrees digest element_at empty \
encode ends_with exp extract_json extract_json_string factorial find_in_set flatten floor from_unixtime gcd \
generate_series get_field get_first_json_object greatest ifnull initcap instr isnan iszero json_as_text json_contains \
json_get json_get_bool json_get_float json_get_int json_get_json json_get_str json_keys json_len json_length \
json_object_keys lcm least left length levenshtein list_any_value list_append list_cat list_concat list_contains \
list_dims list_distance list_distinct list_element list_empty list_except list_extract list_has list_has_all \
list_has_any list_indexof list_intersect list_join list_length list_max list_ndims list_pop_back list_pop_front \
list_position list_positions list_prepend list_push_back list_push_front list_remove list_remove_all list_remove_n \
list_repeat list_replace list_replace_all list_replace_n list_resize list_reverse list_slice list_sort list_to_string \
list_union ln log log10 log2 lower lpad ltrim make_array make_date make_list map map_extract map_keys map_values md5 \
metadata multi_hash named_struct nanvl now nullif nvl nvl2 octet_length overlay pi position pow power radians random \
range regexp_count regexp_like regexp_match regexp_replace repeat replace reverse right round row row_time rpad rtrim \
sha224 sha256 sha384 sha512 signum sin sinh split_part sqrt starts_with string_to_array string_to_list strpos struct \
substr substr_index substring substring_index tan tanh to_char to_date to_hex to_local_time to_timestamp \
to_timestamp_micros to_timestamp_millis to_timestamp_nanos to_timestamp_seconds to_unixtime today translate trim trunc \
union_extract union_tag unnest upper uuid version";

/// Many rows to one.
const AGGREGATE: &str = "approx_distinct approx_median approx_percentile_cont approx_percentile_cont_with_weight array_agg \
avg bit_and bit_or bit_xor bool_and bool_or corr count covar covar_pop covar_samp first_value grouping last_value max \
mean median min nth_value regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy \
stddev stddev_pop stddev_samp string_agg sum var var_pop var_population var_samp var_sample";

/// With `OVER (…)`.
const WINDOW: &str = "cume_dist dense_rank lag lead ntile percent_rank rank row_number";

/// In `GROUP BY` of a stream.
pub(super) const TIME_WINDOWS: [&str; 3] = ["tumble", "hop", "session"];

/// Whether a call of `name` gives one row for many.
pub(super) fn is_aggregate(name: &str) -> bool {
    AGGREGATE.split(' ').any(|known| known == name)
}

/// Whether Arroyo has `name`, or gets it from us.
pub(super) fn is_known(name: &str, ours: &[&str]) -> bool {
    let lists = [SCALAR, AGGREGATE, WINDOW];
    TIME_WINDOWS.contains(&name)
        || ours.contains(&name)
        || lists.iter().any(|l| l.split(' ').any(|known| known == name))
}
