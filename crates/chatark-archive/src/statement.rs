//! SQL that is made from the names of columns.

/// Returns the statement that writes a row in place of the one with the same `key`: of that one it changes `columns`
/// alone, and neither `constants` nor what it does not name.
///
/// Each is a list of columns with commas between them; values are bound in this order.
pub(crate) fn upsert(table: &str, key: &str, constants: &str, columns: &str) -> String {
    let names = |list: &str| list.split(',').filter(|name| !name.trim().is_empty()).count();
    let fixed = names(key) + names(constants);
    let places = |from: usize, to: usize| -> String {
        let places: Vec<_> = (from..=to).map(|at| format!("?{at}")).collect();
        places.join(", ")
    };
    let all = names(columns) + fixed;
    let separator = if constants.is_empty() { "" } else { ", " };
    format!(
        "INSERT INTO {table} ({key}{separator}{constants}, {columns}) VALUES ({})
         ON CONFLICT ({key}) DO UPDATE SET ({columns}) = ({})",
        places(1, all),
        places(fixed + 1, all)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_places_of_their_columns() {
        let sql = upsert("t", "k", "source", "a, b");
        assert!(sql.starts_with("INSERT INTO t (k, source, a, b) VALUES (?1, ?2, ?3, ?4)"), "{sql}");
        assert!(sql.ends_with("ON CONFLICT (k) DO UPDATE SET (a, b) = (?3, ?4)"), "{sql}");
        let sql = upsert("t", "k, l", "", "a");
        assert!(sql.starts_with("INSERT INTO t (k, l, a) VALUES (?1, ?2, ?3)"), "{sql}");
    }
}
