#include "bench/worker.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace p11ha::bench {
namespace {

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> all;
  all.reserve(strings.size() + 1);
  for (std::string& string : strings) all.push_back(string.data());
  all.push_back(nullptr);
  return all;
}

std::vector<std::string> environmentOf(const Subject& subject) {
  std::map<std::string, std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string text = *variable;
    const std::size_t equals = text.find('=');
    if (equals != std::string::npos) variables[text.substr(0, equals)] = text.substr(equals + 1);
  }
  for (const auto& [name, value] : subject.environment) variables[name] = value;
  variables["P11HA_PIN"] = subject.token.pin;
  std::vector<std::string> environment;
  for (const auto& [name, value] : variables) {
    std::string line = name;
    environment.push_back(line.append("=").append(value));
  }
  return environment;
}

}  // namespace

pid_t startAgain(const Subject& subject, const std::vector<std::string>& before, const std::vector<std::string>& words,
                 int kept) {
  std::vector<std::string> all = before;
  char self[4096];
  const ssize_t length = readlink("/proc/self/exe", self, sizeof self);
  if (length <= 0 || length == sizeof self) return -1;
  all.emplace_back(self, static_cast<std::size_t>(length));
  all.insert(all.end(), words.begin(), words.end());
  std::vector<std::string> environment = environmentOf(subject);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (kept >= 0) posix_spawn_file_actions_adddup2(&actions, kept, kept);  // to itself: clears close-on-exec
  pid_t process = -1;
  const int failed =
      posix_spawnp(&process, all[0].c_str(), &actions, nullptr, pointers(all).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  return failed == 0 ? process : -1;
}

int waitFor(pid_t process) {
  int status = 0;
  while (waitpid(process, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

base::Result<std::unique_ptr<Worker>, std::string> Worker::start(const Subject& subject) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return base::Failure{std::string("no socket")};
  const pid_t process = startAgain(
      subject, {},
      {"worker", "--module", subject.token.module, "--token", subject.token.label, "--socket", std::to_string(ends[1])},
      ends[1]);
  close(ends[1]);
  if (process < 0) {
    close(ends[0]);
    return base::Failure{subject.name + ": its worker cannot be started"};
  }
  std::unique_ptr<Worker> worker(new Worker(subject.name, process, ends[0]));
  // A module that shares its tokens with other processes may find them half written while another one logs in.
  if (const auto ready = worker->answer(); !ready) return base::Failure{ready.error()};
  return worker;
}

Worker::~Worker() {
  close(socket_);  // which tells it to end
  waitFor(process_);
}

base::Result<Sample, std::string> Worker::measure(const Task& task) {
  if (!sendLine(socket_, encode(task))) return base::Failure{name_ + ": its worker is gone"};
  return answer();
}

base::Result<Sample, std::string> Worker::answer() {
  const auto line = answers_.next();
  if (!line) return base::Failure{name_ + ": its worker died"};
  auto sample = decodeAnswer(*line);
  if (!sample) return base::Failure{name_ + ": " + sample.error()};
  return sample;
}

int serve(const Token::Spec& spec, int socket) {
  fcntl(socket, F_SETFD, FD_CLOEXEC);
  using Answer = base::Result<Sample, std::string>;
  const auto token = Token::open(spec);
  if (!sendLine(socket, encode(token ? Answer(Sample{}) : Answer(base::Failure{token.error()})))) return 1;
  if (!token) return 1;
  LineReader tasks(socket);
  while (const auto line = tasks.next()) {
    const auto task = decodeTask(*line);
    if (!task || !sendLine(socket, encode(measure(**token, *task)))) return 1;
  }
  return 0;
}

}  // namespace p11ha::bench
