#include "transport/server/worker_process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace p11ha::transport {
namespace {

constexpr std::size_t kLongestFile = 1UL << 20;
constexpr int kWorkerSocket = 3;

std::string systemError() { return std::generic_category().message(errno); }

base::Result<base::Descriptor, std::string> copyOfFile(const std::string& path) {
  const base::Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file) return base::Failure{path + ": " + systemError()};
  base::SecureBytes bytes(kLongestFile);
  std::size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t n = read(file.get(), bytes.data() + size, bytes.size() - size);
    if (n < 0) return base::Failure{path + ": " + systemError()};
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  if (size == bytes.size()) return base::Failure{path + ": too large for a file of certificates"};
  base::Descriptor copy(memfd_create("p11ha-tls", MFD_CLOEXEC));
  if (!copy || !base::writeAll(copy.get(), {reinterpret_cast<const char*>(bytes.data()), size}))
    return base::Failure{path + ": " + systemError()};
  return copy;
}

// Between fork and exec: nothing but system calls.
[[noreturn]] void becomeWorker(int socket) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (socket == kWorkerSocket) {
    fcntl(socket, F_SETFD, 0);
  } else if (dup2(socket, kWorkerSocket) < 0) {
    _exit(127);
  }
  close_range(kWorkerSocket + 1, ~0U, 0);
  char name[] = "p11ha-memberd";
  char argument[sizeof kWorkerArgument];
  std::memcpy(argument, kWorkerArgument, sizeof argument);
  char descriptor[] = {'0' + kWorkerSocket, '\0'};
  char* const arguments[] = {name, argument, descriptor, nullptr};
  execv("/proc/self/exe", arguments);
  _exit(127);
}

}  // namespace

base::Result<WorkerFiles, std::string> WorkerFiles::copyOf(const TlsFiles& files) {
  WorkerFiles copies;
  const std::string* const paths[] = {&files.authorities, &files.certificate, &files.privateKey};
  for (std::size_t i = 0; i < copies.tls.size(); ++i) {
    auto copy = copyOfFile(*paths[i]);
    if (!copy) return base::Failure{copy.error()};
    copies.tls[i] = std::move(*copy);
  }
  return copies;
}

TlsFiles WorkerFiles::pathsOf(int authorities, int certificate, int privateKey) {
  const auto path = [](int descriptor) { return "/proc/self/fd/" + std::to_string(descriptor); };
  return {path(authorities), path(certificate), path(privateKey)};
}

base::Result<WorkerProcess, std::string> WorkerProcess::start() {
  auto ends = makeMessageSockets();
  if (!ends) return base::Failure{"no socket for a worker: " + systemError()};
  const pid_t pid = fork();
  if (pid < 0) return base::Failure{"no process for a worker: " + systemError()};
  if (pid == 0) becomeWorker(ends->second.get());
  return WorkerProcess{pid, std::move(ends->first)};
}

std::string describeEnd(int status) {
  if (WIFSIGNALED(status))
    return "killed by signal " + std::to_string(WTERMSIG(status)) + " (" + strsignal(WTERMSIG(status)) + ")";
  return "ended with status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace p11ha::transport
