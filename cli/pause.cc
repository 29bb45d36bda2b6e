#include "cli/pause.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace p11ha::cli {
namespace {

volatile std::sig_atomic_t wasInterrupted = 0;

int interruptible = 0;  // how many there are

void interrupt(int) { wasInterrupted = 1; }

volatile std::sig_atomic_t held = 0;

void hold(int signal) { held = signal; }

}  // namespace

Uninterrupted::Uninterrupted(int flags) {
  held = 0;
  struct sigaction ours {};
  ours.sa_handler = hold;
  ours.sa_flags = flags;
  for (std::size_t i = 0; i < kHeld.size(); ++i) {
    sigaction(kHeld[i], nullptr, &before_[i]);
    if (before_[i].sa_handler != SIG_IGN) sigaction(kHeld[i], &ours, nullptr);  // nohup's stays
  }
}

Uninterrupted::~Uninterrupted() {
  for (std::size_t i = 0; i < kHeld.size(); ++i) sigaction(kHeld[i], &before_[i], nullptr);
  const int late = held;
  held = 0;
  if (late != 0) raise(late);
}

int Uninterrupted::pending() const { return held; }

void Uninterrupted::forget() { held = 0; }

Interruptible::Interruptible(Second second) {
  if (interruptible++ == 0) wasInterrupted = 0;
  struct sigaction ours {};
  ours.sa_handler = interrupt;
  // Modules need not know of interrupts; poll() comes back from them all the same.
  ours.sa_flags = SA_RESTART | (second == Second::Ends ? static_cast<int>(SA_RESETHAND) : 0);
  sigaction(SIGINT, &ours, &before_);
}

Interruptible::~Interruptible() {
  sigaction(SIGINT, &before_, nullptr);
  if (--interruptible == 0) wasInterrupted = 0;
}

bool Interruptible::happened() { return wasInterrupted != 0; }

bool Interruptible::pause(std::chrono::milliseconds time) const {
  if (wasInterrupted != 0) return false;
  pollfd input{STDIN_FILENO, POLLIN, 0};
  const nfds_t watched = isatty(STDIN_FILENO) != 0 ? 1 : 0;
  if (poll(&input, watched, static_cast<int>(time.count())) <= 0) return wasInterrupted == 0;
  // What ended it is not a command.
  std::array<char, 256> line{};
  return read(STDIN_FILENO, line.data(), line.size()) < 0;
}

bool awaitInput(int descriptor) {
  // Only while it waits: a signal right before would be missed otherwise.
  sigset_t ours;
  sigset_t before;
  sigemptyset(&ours);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ours, signal);
  pthread_sigmask(SIG_BLOCK, &ours, &before);
  pollfd input{descriptor, POLLIN, 0};
  int ready = 0;
  while (wasInterrupted == 0 && held == 0) {
    ready = ppoll(&input, 1, nullptr, &before);
    if (ready >= 0 || errno != EINTR) break;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return ready > 0;
}

}  // namespace p11ha::cli
