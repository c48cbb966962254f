//! The lines of a printed recurrence.

/// The most characters of a line of declarations.
const LINE: usize = 90;

/// Collects lines; short declarations of one kind share a line.
#[derive(Default)]
pub(super) struct Lines {
    done: String,
    keyword: &'static str,
    open: String,
}

impl Lines {
    pub(super) fn item(&mut self, keyword: &'static str, item: String) {
        if self.keyword == keyword && self.open.len() + item.len() < LINE {
            self.open = format!("{}, {item}", self.open);
        } else {
            self.flush();
            self.keyword = keyword;
            self.open = format!("{keyword} {item}");
        }
    }

    fn flush(&mut self) {
        if !self.open.is_empty() {
            self.done.push_str(&self.open);
            self.done.push('\n');
            self.open.clear();
        }
        self.keyword = "";
    }

    pub(super) fn gap(&mut self) {
        self.flush();
        if !self.done.is_empty() {
            self.done.push('\n');
        }
    }

    pub(super) fn line(&mut self, line: String) {
        self.flush();
        self.done.push_str(&line);
        self.done.push('\n');
    }

    pub(super) fn finish(mut self) -> String {
        self.flush();
        self.done
    }
}
