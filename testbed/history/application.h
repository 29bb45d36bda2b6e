// An application that works on objects at random and keeps a journal of it.
#pragma once

#include "testbed/history/workspace.h"

namespace p11ha::history {

/// Works on the token of P11HA_MODULE, P11HA_LABEL and P11HA_PIN until the operations of its journal are done, prints
/// `done`, waits for the end of standard input, then until every member of the group serves, and ends the library.
/// The exit status. One thread; throws std::runtime_error.
int runApplication(const ApplicationOptions& options);

}  // namespace p11ha::history
