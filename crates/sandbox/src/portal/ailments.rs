//! What can be wrong with an application or a line apart from calls that fail: what employees of the portal change without
//! anybody being told.

use super::{Portal, php::Value};

impl Portal {
    /// An application with an interface whose page has not said `BX24.installFinish()`.
    pub fn unfinish_installation(&self, client_id: &str) {
        if let Some(app) = self.lock().apps.get_mut(client_id) {
            app.installed = false;
        }
        self.changed(None);
    }

    /// A line is switched on or off on its page.
    pub fn switch_line(&self, line: i64, active: bool) {
        if let Some(line) = self.lock().lines.get_mut(&line) {
            line.active = active;
        }
        self.changed(None);
    }

    /// The employees who answer on a line, by their ids.
    pub fn set_queue(&self, line: i64, users: &[i64]) {
        if let Some(line) = self.lock().lines.get_mut(&line) {
            line.queue = users
                .iter()
                .map(|user| ("user".to_owned(), user.to_string()))
                .collect();
        }
        self.changed(None);
    }

    /// A setting of a line is changed on its page.
    pub fn set_line_setting(&self, line: i64, name: &str, value: &str) {
        if let Some(line) = self.lock().lines.get_mut(&line) {
            line.settings.retain(|(key, _)| key != name);
            line.settings.push((name.to_owned(), Value::from(value)));
        }
        self.changed(None);
    }

    /// A connector is registered but not active on a line any more, and nobody was told.
    pub fn loses_line(&self, connector: &str, line: i64) {
        let key = (connector.to_lowercase(), line);
        if let Some(status) = self.lock().statuses.get_mut(&key) {
            status.active = false;
        }
        self.changed(None);
    }
}
