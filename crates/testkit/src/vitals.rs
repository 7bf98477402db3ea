//! What a process holds: threads, descriptors, memory, from `proc(5)`.

/// How much a process may grow by what was done in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vitals {
    /// Threads.
    pub threads: usize,
    /// Open descriptors.
    pub descriptors: usize,
    /// Resident memory, in KiB.
    pub memory_kib: usize,
}

impl Vitals {
    /// Those of this process.
    #[must_use]
    pub fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self { threads: number("Threads:"), descriptors, memory_kib: number("VmRSS:") }
    }

    /// What has grown beyond `by` since `before`.
    #[must_use]
    pub fn grown(self, before: Self, by: Self) -> Vec<String> {
        let pairs = [
            ("threads", self.threads, before.threads, by.threads),
            ("descriptors", self.descriptors, before.descriptors, by.descriptors),
            ("KiB of memory", self.memory_kib, before.memory_kib, by.memory_kib),
        ];
        let beyond = pairs.into_iter().filter(|(_, now, before, by)| *now > before + by);
        beyond.map(|(what, now, before, _)| format!("O8 {now} {what}, {before} before")).collect()
    }
}

/// The threads of this process by name.
#[must_use]
pub fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    tasks.filter_map(name).map(|name| name.trim().to_owned()).collect()
}

/// The files below `directory` that this process still has open.
#[must_use]
pub fn open_below(directory: &std::path::Path) -> Vec<String> {
    let descriptors = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let files = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok());
    files.filter(|file| file.starts_with(directory)).map(|file| file.display().to_string()).collect()
}
