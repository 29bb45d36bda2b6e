#include "tests/lifecycle/child.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

[[noreturn]] void endWithVerdict() {
  std::fflush(nullptr);
  _exit(testing::Test::HasFailure() ? 1 : 0);
}

[[noreturn]] void be(const std::function<void()>& body, int errors) {
  setpgid(0, 0);
  dup2(errors, STDERR_FILENO);
  close(errors);
  body();
  endWithVerdict();
}

// Until the process ends: then its descriptor can be read.
bool awaitEnd(pid_t child, std::chrono::seconds deadline) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
  pollfd ended{fd, POLLIN, 0};
  const auto until = std::chrono::steady_clock::now() + deadline;
  int found = -1;
  do {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    found = poll(&ended, 1, static_cast<int>(std::max<decltype(left)>(left, 0)));
  } while (found < 0 && errno == EINTR);
  close(fd);
  return found == 1;
}

std::size_t entries(const char* folder) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Ended& ended) {
  if (ended.hung) {
    out << "hung";
  } else if (WIFSIGNALED(ended.status)) {
    out << "signal " << WTERMSIG(ended.status);
  } else {
    out << "status " << WEXITSTATUS(ended.status);
  }
  return out << "\n" << ended.errors;
}

Ended runInChild(const std::function<void()>& body, std::chrono::seconds deadline) {
  std::fflush(nullptr);
  std::FILE* const errors = std::tmpfile();
  const pid_t child = fork();
  if (child == 0) be(body, fileno(errors));
  setpgid(child, child);
  Ended ended;
  ended.hung = !awaitEnd(child, deadline);
  kill(-child, SIGKILL);  // itself if it hangs, and whatever it has left behind
  waitpid(child, &ended.status, 0);
  std::rewind(errors);
  char part[512];
  while (std::fgets(part, sizeof part, errors) != nullptr) ended.errors += part;
  std::fclose(errors);
  return ended;
}

void expectEndsWell(const std::function<void()>& body) {
  const Ended ended = runInChild(body);
  EXPECT_TRUE(!ended.hung && ended.status == 0) << ended;
}

void expectForkEndsWell(const std::function<void()>& body, const std::function<void()>& meanwhile) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    body();
    endWithVerdict();
  }
  meanwhile();
  const bool ended = awaitEnd(child, std::chrono::seconds(60));
  if (!ended) kill(child, SIGKILL);
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_TRUE(ended) << "the forked child hangs";
  EXPECT_EQ(status, ended ? 0 : SIGKILL);
}

void awaitAsleep(int thread) {
  await(
      [&] {
        std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
        std::string stat;
        std::getline(file, stat);
        const auto name = stat.rfind(") ");
        return name != std::string::npos && stat[name + 2] == 'S';
      },
      "a thread asleep");
}

std::size_t threads() { return entries("/proc/self/task"); }
std::size_t openFiles() { return entries("/proc/self/fd"); }

}  // namespace p11ha::tests
