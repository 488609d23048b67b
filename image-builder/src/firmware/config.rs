//! `config.txt`: settings with conditional filters.

/// The settings that hold for one board.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    settings: Vec<(String, String)>,
}

/// Longer lines are cut by the firmware.
const LONGEST_LINE: usize = 98;

impl Config {
    /// Reads the settings for a board that answers to `filters` (such as `pi4`). `[all]` ends a
    /// filter; other filters combine only with themselves, as far as images need.
    pub fn parse(text: &str, filters: &[&str]) -> Self {
        let (mut settings, mut applies) = (Vec::new(), true);
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if let Some(filter) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                applies = filter == "all" || filters.contains(&filter);
            } else if applies
                && let Some((key, value)) = line.split_once('=').or_else(|| line.split_once(' '))
            {
                settings.push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
        Self { settings }
    }

    /// Returns the last value of a setting.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.settings
            .iter()
            .rev()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// Returns lines that the firmware would cut.
    pub fn overlong(text: &str) -> Option<usize> {
        text.lines()
            .position(|line| line.len() > LONGEST_LINE)
            .map(|index| index + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_choose_settings_and_the_last_one_wins() {
        let text = "kernel=a\n[pi4]\nkernel=b # why\n[pi3]\nkernel=c\n[all]\ninitramfs initrd.img followkernel\n";
        assert_eq!(Config::parse(text, &["pi4"]).get("kernel"), Some("b"));
        assert_eq!(Config::parse(text, &["pi02"]).get("kernel"), Some("a"));
        assert_eq!(
            Config::parse(text, &[]).get("initramfs"),
            Some("initrd.img followkernel")
        );
        assert_eq!(
            Config::overlong(&format!("a=1\nb={}", "x".repeat(100))),
            Some(2)
        );
    }
}
