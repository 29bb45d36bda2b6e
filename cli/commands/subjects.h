// The commands by their subjects, in the order in which help lists them. A command is added in the list of its subject.
#pragma once

#include "cli/command.h"

namespace p11ha::cli {

std::vector<Command> synchronizeCommands();
std::vector<Command> listingCommands();
std::vector<Command> membershipCommands();
std::vector<Command> partitionCommands();
std::vector<Command> groupSettingsCommands();
std::vector<Command> doctorCommands();
std::vector<Command> recoveryCommands();
std::vector<Command> statusCommands();
std::vector<Command> logCommands();
std::vector<Command> slotCommands();
std::vector<Command> clientCommands();
std::vector<Command> clientRemovalCommands();
std::vector<Command> generalCommands();

inline constexpr std::vector<Command> (*kSubjects[])() = {
    membershipCommands, groupSettingsCommands, synchronizeCommands, listingCommands,   statusCommands,
    doctorCommands,     recoveryCommands,      logCommands,         partitionCommands, slotCommands,
    clientCommands,     clientRemovalCommands, generalCommands,
};

}  // namespace p11ha::cli
