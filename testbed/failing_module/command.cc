#include "testbed/failing_module/command.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <system_error>

#include "testbed/failing_module/control_dir.h"
#include "testbed/failing_module/tally.h"

namespace p11ha::testbed {
namespace {

constexpr std::string_view kOk = "ok\n";

CommandResult failed(const std::string& why) { return {1, "", why}; }
CommandResult misused(const std::string& why) { return {2, "", why}; }

// One process that listens in the folder.
struct Exchange {
  bool gone = false;  // nobody is there any more
  std::string answer;
  std::string error;
};

Exchange ask(const ControlDir& dir, const std::string& name, std::string_view request,
             std::chrono::milliseconds patience) {
  const auto pid = static_cast<pid_t>(std::strtol(name.c_str(), nullptr, 10));
  // A child of that process may have inherited its socket.
  if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH) return {true, {}, {}};
  const base::Descriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval timeout{patience.count() / 1000, patience.count() % 1000 * 1000};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  const sockaddr_un address = dir.address(name);
  const auto error = [&](const std::string& why) {
    return Exchange{false, {}, "process " + std::to_string(pid) + ": " + why};
  };
  const auto systemError = [&] {
    return error(errno == EAGAIN ? "does not answer" : std::generic_category().message(errno));
  };
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ECONNREFUSED || errno == ENOENT) return {true, {}, {}};
    return systemError();
  }
  if (send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return systemError();
  std::string answer;
  char part[4096];
  while (true) {
    const ssize_t n = recv(fd.get(), part, sizeof part, 0);
    if (n < 0 && errno != ECONNRESET) return systemError();
    if (n <= 0) break;
    answer.append(part, static_cast<std::size_t>(n));
  }
  if (answer.empty()) return {true, {}, {}};  // ended before it could answer
  if (!answer.ends_with(kOk)) return error(answer.substr(0, answer.find('\n')));
  answer.resize(answer.size() - kOk.size());
  return {false, answer, {}};
}

struct Answers {
  std::string text;
  std::string errors;
};

// Under the lock.
Answers askAll(const ControlDir& dir, std::string_view request, std::chrono::milliseconds patience) {
  Answers all;
  for (const std::string& name : dir.sockets()) {
    const Exchange exchange = ask(dir, name, request, patience);
    if (exchange.gone) dir.remove(name);
    all.text += exchange.answer;
    if (!exchange.error.empty()) all.errors += (all.errors.empty() ? "" : "; ") + exchange.error;
  }
  return all;
}

CommandResult enforce(const ControlDir& dir, const RuleFile& file, std::chrono::milliseconds patience) {
  if (const auto written = dir.writeRules(file); !written) return failed(written.error());
  const Answers answers = askAll(dir, "reload\n", patience);
  return answers.errors.empty() ? CommandResult{} : failed(answers.errors);
}

CommandResult add(const ControlDir& dir, Rule rule, std::chrono::milliseconds patience) {
  auto file = dir.readRules();
  if (!file) return failed(file.error());
  const std::string text = ruleText(rule);
  const bool known = std::any_of(file->rules.begin(), file->rules.end(),
                                 [&](const Rule& each) { return each.times == 0 && ruleText(each) == text; });
  if (!known) {
    rule.id = file->nextId++;
    file->rules.push_back(std::move(rule));
  }
  return enforce(dir, *file, patience);
}

CommandResult heal(const ControlDir& dir, const std::optional<Target>& target, std::chrono::milliseconds patience) {
  auto file = dir.readRules();
  if (!file) return failed(file.error());
  std::erase_if(file->rules, [&](const Rule& each) { return !target || each.target == *target; });
  return enforce(dir, *file, patience);
}

CommandResult listRules(const ControlDir& dir, const std::optional<Target>& target) {
  const auto file = dir.readRules();
  if (!file) return failed(file.error());
  CommandResult result;
  for (const Rule& rule : file->rules) {
    if (!target || rule.target == *target) result.output += ruleText(rule) + '\n';
  }
  return result;
}

CommandResult counts(const ControlDir& dir, const Target& target, std::uint64_t Count::*which,
                     std::chrono::milliseconds patience) {
  Tally tally;
  tally.addText(dir.readTally());
  const Answers answers = askAll(dir, "tally\n", patience);
  if (!answers.errors.empty()) return failed(answers.errors);
  tally.addText(answers.text);
  CommandResult result;
  const auto sums = tally.sum(target);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (sums[i].*which == 0) continue;
    result.output += std::string(cryptoki::function(static_cast<cryptoki::Fn>(i)).name) + ' ' +
                     std::to_string(sums[i].*which) + '\n';
  }
  return result;
}

struct CountCommand {
  std::string_view name;
  std::uint64_t Count::*which;
};
constexpr CountCommand kCountCommands[] = {
    {"stats", &Count::passed}, {"refused", &Count::refused}, {"waiting", &Count::waiting}};

}  // namespace

std::string commandUsage() {
  return "  fail TARGET CALLS RV [after] [times N]   answer RV: at once, or after the call was carried out\n"
         "  delay TARGET CALLS MS [times N]          pass the calls on that much later\n"
         "  hang TARGET [CALLS] [times N]            hold the calls until heal, or until the process finalizes\n"
         "  unplug TARGET                            the token is gone; after heal it has no sessions and no login\n"
         "  deactivate TARGET                        the login has ended, and C_Login answers\n"
         "                                           CKR_USER_PIN_NOT_INITIALIZED\n"
         "  heal [TARGET]                            take the rules for this TARGET back (all)\n"
         "  rules [TARGET]                           list what is in force\n"
         "  stats [TARGET]                           calls passed on to the wrapped module, by function\n"
         "  refused [TARGET]                         calls that a rule answered\n"
         "  waiting [TARGET]                         calls that are held at this moment\n"
         "\n"
         "TARGET  a slot number, serial:SERIAL, or any (each slot, and the calls that name none)\n"
         "CALLS   C_Sign,C_Verify,... or *, which leaves out C_Initialize and C_Finalize: they have to be named\n"
         "RV      CKR_DEVICE_ERROR, or a number\n"
         "N       calls of each process\n";
}

CommandResult runCommand(const std::string& path, std::span<const std::string> words,
                         std::chrono::milliseconds patience) {
  if (words.empty()) return misused("no command");
  const std::string& name = words.front();
  const auto* counting = std::find_if(std::begin(kCountCommands), std::end(kCountCommands),
                                      [&](const CountCommand& each) { return each.name == name; });
  const bool isCount = counting != std::end(kCountCommands);
  std::optional<Target> target;
  std::optional<Rule> rule;
  if (isCount || name == "heal" || name == "rules") {
    if (words.size() > 2) return misused("\"" + words[2] + "\" is too much");
    if (words.size() == 2) {
      const auto parsed = parseTarget(words[1]);
      if (!parsed) return misused(parsed.error());
      target = *parsed;
    }
  } else {
    const auto parsed = parseRule(words);
    if (!parsed) return misused(parsed.error());
    rule = *parsed;
  }
  const auto dir = ControlDir::open(path);
  if (!dir) return failed(dir.error());
  const auto lock = dir->lock();
  if (!lock) return failed(lock.error());
  if (rule) return add(*dir, *rule, patience);
  if (name == "heal") return heal(*dir, target, patience);
  if (name == "rules") return listRules(*dir, target);
  return counts(*dir, target.value_or(Target{}), counting->which, patience);
}

CommandResult runCommand(const std::string& dir, const std::string& line, std::chrono::milliseconds patience) {
  return runCommand(dir, splitWords(line), patience);
}

}  // namespace p11ha::testbed
