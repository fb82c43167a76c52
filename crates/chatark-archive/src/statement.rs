//! Builds SQL from lists of columns.

/// Returns an upsert by `key`. It changes only `columns` of an existing row: `constants`, and columns that are not named,
/// keep their values.
///
/// All three are lists of columns, separated by commas; values are bound in this order.
pub(crate) fn upsert(table: &str, key: &str, constants: &str, columns: &str) -> String {
    let names = |list: &str| list.split(',').filter(|name| !name.trim().is_empty()).count();
    let unchanged = names(key) + names(constants);
    let placeholders = |from: usize, to: usize| -> String {
        let placeholders: Vec<_> = (from..=to).map(|at| format!("?{at}")).collect();
        placeholders.join(", ")
    };
    let all = names(columns) + unchanged;
    let separator = if constants.is_empty() { "" } else { ", " };
    format!(
        "INSERT INTO {table} ({key}{separator}{constants}, {columns}) VALUES ({})
         ON CONFLICT ({key}) DO UPDATE SET ({columns}) = ({})",
        placeholders(1, all),
        placeholders(unchanged + 1, all)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_match_their_columns() {
        let sql = upsert("t", "k", "source", "a, b");
        assert!(sql.starts_with("INSERT INTO t (k, source, a, b) VALUES (?1, ?2, ?3, ?4)"), "{sql}");
        assert!(sql.ends_with("ON CONFLICT (k) DO UPDATE SET (a, b) = (?3, ?4)"), "{sql}");
        let sql = upsert("t", "k, l", "", "a");
        assert!(sql.starts_with("INSERT INTO t (k, l, a) VALUES (?1, ?2, ?3)"), "{sql}");
    }
}
