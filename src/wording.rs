//! Words that are put together from what there is: numbers of things, and lists to choose from.

/// So many of something whose plural ends in `s`: `1 thread`, `2 threads`.
pub(crate) fn counted(count: impl TryInto<u64> + std::fmt::Display + Copy, noun: &str) -> String {
    let is_one = count.try_into().is_ok_and(|count| count == 1);
    format!("{count} {noun}{}", if is_one { "" } else { "s" })
}

/// Words of which one is meant: `memory or quic`, `off, error or warn`.
pub(crate) fn one_of<S: AsRef<str>>(words: &[S]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        let counted = |count: u64| counted(count, "thread");
        assert_eq!(
            [0, 1, 2].map(counted),
            ["0 threads", "1 thread", "2 threads"]
        );
    }

    #[test]
    fn the_last_of_several_words_comes_after_an_or() {
        assert_eq!(one_of(&["a"]), "a");
        assert_eq!(one_of(&["a", "b"]), "a or b");
        assert_eq!(one_of(&["a", "b", "c"]), "a, b or c");
    }
}
