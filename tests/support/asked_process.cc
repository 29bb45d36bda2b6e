#include "tests/support/asked_process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>

namespace p11ha::tests {

namespace {

[[noreturn]] void serve(int end, const std::function<AskedProcess::Call()>& begin) {
  AskedProcess::Call call;
  for (char asked = 0; recv(end, &asked, 1, 0) == 1;) {
    if (!call) call = begin();
    const CK_RV rv = call();
    if (send(end, &rv, sizeof rv, MSG_NOSIGNAL) < 0) break;
  }
  _exit(0);
}

}  // namespace

AskedProcess::AskedProcess(const std::function<Call()>& begin) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) throw std::runtime_error("no sockets");
  pid_ = fork();
  if (pid_ == 0) {
    close(ends[0]);
    serve(ends[1], begin);
  }
  close(ends[1]);
  end_ = ends[0];
}

AskedProcess::~AskedProcess() {
  close(end_);
  kill(pid_, SIGCONT);
  waitpid(pid_, nullptr, 0);
}

CK_RV AskedProcess::ask() const {
  CK_RV rv = CKR_GENERAL_ERROR;
  const char asked = 'a';
  EXPECT_EQ(send(end_, &asked, 1, MSG_NOSIGNAL), 1);
  EXPECT_EQ(recv(end_, &rv, sizeof rv, MSG_WAITALL), static_cast<ssize_t>(sizeof rv));
  return rv;
}

}  // namespace p11ha::tests
