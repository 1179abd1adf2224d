//! Finished runs, one Parquet file each.
