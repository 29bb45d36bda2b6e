#include "cli/pause.h"

#include <gtest/gtest.h>

namespace p11ha::tests::cli_pause {
namespace {

volatile std::sig_atomic_t seen = 0;

TEST(Uninterrupted, KeepsSignalsForLater) {
  struct sigaction before {};
  struct sigaction counting {};
  counting.sa_handler = [](int) { seen = seen + 1; };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    sigaction(signal, &counting, &before);
    seen = 0;
    {
      const cli::Uninterrupted uninterrupted;
      raise(signal);
      raise(signal);
      EXPECT_EQ(seen, 0);
    }
    EXPECT_EQ(seen, 1);
    sigaction(signal, &before, nullptr);
  }
}

}  // namespace
}  // namespace p11ha::tests::cli_pause
