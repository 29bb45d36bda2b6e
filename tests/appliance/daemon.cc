#include "tests/appliance/daemon.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <stdexcept>

#include "tests/support/program.h"

namespace p11ha::tests {
namespace {

const std::string kDaemon = P11HA_BINARY_DIR "/bin/p11ha-memberd";

std::string contentsOf(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::ostringstream all;
  all << in.rdbuf();
  return all.str();
}

}  // namespace

Daemon::~Daemon() {
  if (pid_ > 0) end(SIGKILL);
}

void Daemon::start() {
  int out[2];
  ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
  pid_ = fork();
  if (pid_ == 0) {
    // Not longer than the test.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out[1], 1);
    execl(kDaemon.c_str(), kDaemon.c_str(), "--config", configuration().c_str(), nullptr);
    _exit(127);
  }
  close(out[1]);
  std::string said;
  char byte = 0;
  while (read(out[0], &byte, 1) == 1 && byte != '\n') said += byte;
  close(out[0]);
  ASSERT_TRUE(said.starts_with("port ")) << said << log();
  port_ = static_cast<std::uint16_t>(std::stoi(said.substr(5)));
}

void Daemon::keepPort() const {
  std::string text = contentsOf(configuration());
  if (const auto at = text.find("Port = 0;"); at != std::string::npos)
    text.replace(at, 9, "Port = " + std::to_string(port_) + ";");
  std::ofstream(configuration(), std::ios::trunc) << text;
}

int Daemon::end(int signal) {
  if (pid_ <= 0) throw std::logic_error("the daemon does not run");
  kill(pid_, signal);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void Daemon::tell(int signal) const {
  if (pid_ > 0) kill(pid_, signal);
}

bool Daemon::runs() const { return pid_ > 0 && kill(pid_, 0) == 0; }

std::string Daemon::log() const { return contentsOf(folder_ / "log"); }

std::pair<int, std::string> Daemon::ctl(const std::string& words) const {
  const Ran ran = runCommandLine(kDaemon + " ctl " + (folder_ / "ctl").string() + " " + words + " 2>&1");
  return {ran.status, ran.text};
}

}  // namespace p11ha::tests
