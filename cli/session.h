// What one run of the manager knows and shares between its commands.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/answer.h"
#include "cli/console.h"
#include "config/document.h"
#include "config/settings.h"

namespace p11ha::cli {

/// Owned by main(). One thread. The configuration is read anew by each command: others change it, too.
class Session {
 public:
  Session(std::string configuration, std::string program, Console& console)
      : configuration_(std::move(configuration)), program_(std::move(program)), console_(console) {}

  const std::string& configuration() const { return configuration_; }
  /// "hacm", or what else it was called by.
  const std::string& program() const { return program_; }
  Console& console() const { return console_; }

  /// What the configuration says now; one that does not exist says nothing. What is wrong with it is noted to the user,
  /// once. Trouble: it cannot be read.
  base::Result<config::Settings, Trouble> settings();

  /// Changes it: under the lock of all managers, and in one step for all who read it. `edit` works on a copy, and is
  /// told what was read; what it refuses, and what would make the configuration worse than it was, is not saved.
  using Edit = std::function<std::optional<Trouble>(config::Document& document, const config::Settings& now)>;
  /// `last` is what cannot be undone and goes with it: called under the lock, when all that could be refused was not
  /// and the new text is on the disk. What it refuses is not saved.
  using LastStep = std::function<std::optional<Trouble>()>;
  base::Result<config::Settings, Trouble> change(const Edit& edit, const LastStep& last = {});
  /// Why that change would be refused; nullopt: it would not. Nothing is changed.
  std::optional<Trouble> rehearse(const Edit& edit);

  /// The serial number of the token or group that commands mean which name none (`slot set`): slots are numbered anew
  /// whenever one comes or goes.
  std::optional<std::string> current;
  bool over = false;  ///< `exit` was given

 private:
  void note(const config::Settings& settings);

  const std::string configuration_;
  const std::string program_;
  Console& console_;
  std::set<std::string> noted_;
};

/// The group of that label or number. What is one group's label and another's number is neither. Trouble lists those
/// there are.
base::Result<config::Group, Trouble> findGroup(const config::Settings& settings, const std::string& name);

/// A group that was found before, as it is now. Trouble: it is gone.
base::Result<config::Group, Trouble> sameGroup(const config::Settings& now, const config::Group& group);

}  // namespace p11ha::cli
