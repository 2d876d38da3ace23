/* A slow disk and slow hashing, for a program that is started with this as LD_PRELOAD.

   While the file $SLOW_GATE is there, fsync() and OpenSSL's PBKDF2 do not return; each that waits adds a letter to
   "$SLOW_GATE.waiting": d or h. Hashes are of one round, and nobody's: what takes long here costs no processor time. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_for_it(const char *letter) {
    const char *gate = getenv("SLOW_GATE");
    char name[4096];
    int file;
    if (!gate || access(gate, F_OK))
        return;
    snprintf(name, sizeof name, "%s.waiting", gate);
    file = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 || write(file, letter, 1) != 1)
        abort();
    close(file);
    while (!access(gate, F_OK))
        usleep(50000);
}

int fsync(int descriptor) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_for_it("d");
    return real(descriptor);
}

typedef int Pbkdf2(const char *, int, const unsigned char *, int, int, const void *, int, unsigned char *);

int PKCS5_PBKDF2_HMAC(const char *password, int length, const unsigned char *salt, int salt_length, int rounds,
                      const void *digest, int size, unsigned char *out) {
    /* Python has loaded it for one module alone, so RTLD_NEXT does not find it. */
    void *library = dlopen("libcrypto.so.3", RTLD_LAZY | RTLD_NOLOAD);
    Pbkdf2 *real = library ? (Pbkdf2 *)dlsym(library, "PKCS5_PBKDF2_HMAC") : NULL;
    if (!real)
        return 0;
    (void)rounds;
    wait_for_it("h");
    return real(password, length, salt, salt_length, 1, digest, size, out);
}
