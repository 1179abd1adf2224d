//! The paper's numbers beside a single run, finished or not.

use crate::paper::reported::{TABLE_2, TABLE_4};
use crate::paper::{table1, table2, table4};
use crate::run::config::RunConfig;

/// What a table of the paper says of runs like one here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReportedRow {
    /// The table, and the data that its numbers are of.
    pub table: &'static str,
    /// Training accuracy, per cent; `None`: "failed to converge".
    pub train: Option<f64>,
    /// Test accuracy, per cent, where the table has it.
    pub test: Option<f64>,
}

/// The paper's numbers that belong to a run of `config`: the rows of tables 1, 2 and 4 with its network, corruption and
/// regularisers. None for data that stand in no comparison with the paper ([`DataId::is_comparable`]).
///
/// [`DataId::is_comparable`]: crate::data::DataId::is_comparable
pub fn numbers(config: &RunConfig) -> Vec<ReportedRow> {
    if !config.data.is_comparable() {
        return Vec::new();
    }
    let rows = table1::rows().into_iter().filter(|(row, _)| table1::is_of(row, config));
    let of_table1 = rows.map(|(row, _)| ReportedRow {
        table: "table 1 (CIFAR-10, n = 50,000)",
        train: Some(row.train),
        test: Some(row.test),
    });
    let of_table2 = TABLE_2.iter().filter(|row| table2::is_of(row, config)).map(|row| ReportedRow {
        table: "table 2 (ImageNet, top-1)",
        train: Some(row.train[0]),
        test: Some(row.test[0]),
    });
    let of_table4 = TABLE_4.iter().filter(|row| table4::is_of(row, config)).map(|row| ReportedRow {
        table: "table 4 (CIFAR-10, n = 50,000)",
        train: row.train,
        test: None,
    });
    of_table1.chain(of_table2).chain(of_table4).collect()
}
