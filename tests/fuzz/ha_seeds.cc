// Makes the corpus of the fuzz target of notes: one of each, as the encoder makes it.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "ha/notes/note.h"

namespace {

using namespace p11ha::ha;
using namespace p11ha::ha::notes;

void write(const std::filesystem::path& path, const Note& note) {
  const auto bytes = encode(note);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: ha-seeds DIRECTORY\n");
    return 2;
  }
  const std::filesystem::path where = std::filesystem::path(arguments[1]) / "ha_note";
  std::filesystem::create_directories(where);
  const Subject key =
      subjectOf({CKO_PRIVATE_KEY, CKK_EC, true, true, {'l', 'a', 'b', 'e', 'l'}, {1, 2}, {3, 4, 5}, false});
  Subject secret = subjectOf({CKO_SECRET_KEY, CKK_AES, true, true, {'k'}, {7}, {1, 2, 3}, false});
  secret.witness = Witness{1, {}, {8, 9}};
  write(where / "record", {"1000", Record{key, {true, true, true, false, CKM_EC_KEY_PAIR_GEN}, 3}});
  write(where / "tombstone", {"1000", Tombstone{secret, 1'700'000'000'000, false}});
  write(where / "change", {"1000", Change{key, secret, {CKA_LABEL, CKA_ID}, 1}});
  return 0;
}
