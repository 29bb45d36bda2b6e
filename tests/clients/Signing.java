import java.io.FileWriter;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.KeyStore.PasswordProtection;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.Security;
import java.security.Signature;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import javax.crypto.Cipher;
import javax.crypto.KeyAgreement;
import javax.crypto.KeyGenerator;
import javax.crypto.Mac;
import javax.crypto.SecretKey;
import javax.crypto.spec.IvParameterSpec;

/**
 * SunPKCS11 at work: once with everything, or with 16 threads that sign.
 *
 * usage: Signing CONFIG PIN once | sign ALIAS ALGORITHM THREADS COUNT|-
 *
 * "sign" prints a line "ok" or "failed ..." for each signature; each is verified by the JDK's own code. With "-" it goes on until
 * its standard input ends.
 */
public final class Signing {
    private static Provider provider;
    private static KeyStore store;
    private static final byte[] MESSAGE = "what is signed".getBytes(StandardCharsets.UTF_8);

    public static void main(String[] arguments) throws Exception {
        provider = Security.getProvider("SunPKCS11").configure(arguments[0]);
        Security.addProvider(provider);
        store = KeyStore.getInstance("PKCS11", provider);
        store.load(null, arguments[1].toCharArray());
        if (arguments[2].equals("once")) {
            once();
        } else {
            sign(arguments[3], arguments[4], Integer.parseInt(arguments[5]), arguments[6]);
        }
    }

    private static byte[] signature(PrivateKey key, String algorithm, byte[] message) throws Exception {
        Signature signer = Signature.getInstance(algorithm, provider);
        signer.initSign(key);
        signer.update(message);
        return signer.sign();
    }

    private static boolean verified(PublicKey key, String algorithm, byte[] message, byte[] signature) throws Exception {
        Signature verifier = Signature.getInstance(algorithm, key.getAlgorithm().equals("EC") ? "SunEC" : "SunRsaSign");
        verifier.initVerify(java.security.KeyFactory.getInstance(key.getAlgorithm(), key.getAlgorithm().equals("EC") ? "SunEC" : "SunRsaSign")
            .generatePublic(new java.security.spec.X509EncodedKeySpec(key.getEncoded())));
        verifier.update(message);
        return verifier.verify(signature);
    }

    private static void once() throws Exception {
        KeyGenerator generator = KeyGenerator.getInstance("AES", provider);
        generator.init(256);
        SecretKey secret = generator.generateKey();
        List<String> services = new ArrayList<>();
        for (Provider.Service service : provider.getServices()) services.add(service.getType() + " " + service.getAlgorithm());
        Collections.sort(services);
        for (String service : services) System.out.println(service);

        List<String> aliases = Collections.list(store.aliases());
        Collections.sort(aliases);
        for (String alias : aliases) {
            System.out.println("entry " + alias + (store.isKeyEntry(alias) ? " key" : " certificate"));
            if (!store.isKeyEntry(alias)) continue;
            PrivateKey key = (PrivateKey) store.getKey(alias, null);
            PublicKey known = store.getCertificate(alias).getPublicKey();
            String with = key.getAlgorithm().equals("EC") ? "withECDSA" : "withRSA";
            for (String hash : new String[] {"SHA1", "SHA224", "SHA256", "SHA384", "SHA512"}) {
                System.out.println(hash + with + " " + verified(known, hash + with, MESSAGE, signature(key, hash + with, MESSAGE)));
            }
            byte[] large = new byte[100000];
            System.out.println("large " + verified(known, "SHA256" + with, large, signature(key, "SHA256" + with, large)));
            if (!key.getAlgorithm().equals("RSA")) continue;
            Cipher encrypt = Cipher.getInstance("RSA/ECB/PKCS1Padding", "SunJCE");
            encrypt.init(Cipher.ENCRYPT_MODE, store.getCertificate(alias));
            Cipher decrypt = Cipher.getInstance("RSA/ECB/PKCS1Padding", provider);
            decrypt.init(Cipher.DECRYPT_MODE, key);
            System.out.println("RSA decrypts " + new String(decrypt.doFinal(encrypt.doFinal(MESSAGE)), StandardCharsets.UTF_8));
        }

        for (String hash : new String[] {"SHA-1", "SHA-256", "SHA-384", "SHA-512"}) {
            byte[] here = MessageDigest.getInstance(hash, provider).digest(MESSAGE);
            System.out.println(hash + " " + MessageDigest.isEqual(here, MessageDigest.getInstance(hash, "SUN").digest(MESSAGE)));
        }
        byte[] random = new byte[32];
        SecureRandom.getInstance("PKCS11", provider).nextBytes(random);
        System.out.println("random " + random.length);

        for (String mode : new String[] {"AES/ECB/NoPadding", "AES/CBC/NoPadding", "AES/CBC/PKCS5Padding", "AES/CTR/NoPadding"}) {
            Cipher cipher = Cipher.getInstance(mode, provider);
            byte[] plain = new byte[1024];
            random[0] = 1;
            IvParameterSpec iv = mode.contains("ECB") ? null : new IvParameterSpec(random, 0, 16);
            cipher.init(Cipher.ENCRYPT_MODE, secret, iv);
            byte[] first = cipher.update(plain, 0, 500);
            byte[] second = cipher.doFinal(plain, 500, 524);
            byte[] ciphertext = java.util.Arrays.copyOf(first, first.length + second.length);
            System.arraycopy(second, 0, ciphertext, first.length, second.length);
            cipher.init(Cipher.DECRYPT_MODE, secret, iv);
            System.out.println(mode + " " + MessageDigest.isEqual(plain, cipher.doFinal(ciphertext)));
        }
        Mac mac = Mac.getInstance("HmacSHA256", provider);
        mac.init(new javax.crypto.spec.SecretKeySpec(new byte[32], "Generic"));
        Mac other = Mac.getInstance("HmacSHA256", "SunJCE");
        other.init(new javax.crypto.spec.SecretKeySpec(new byte[32], "Generic"));
        System.out.println("HmacSHA256 " + MessageDigest.isEqual(mac.doFinal(MESSAGE), other.doFinal(MESSAGE)));
    }

    private static void sign(String alias, String algorithm, int threads, String count) throws Exception {
        PrivateKey key = ((KeyStore.PrivateKeyEntry) store.getEntry(alias, null)).getPrivateKey();
        PublicKey known = store.getCertificate(alias).getPublicKey();
        AtomicInteger left = new AtomicInteger(count.equals("-") ? Integer.MAX_VALUE : Integer.parseInt(count));
        List<Thread> pool = new ArrayList<>();
        for (int thread = 0; thread < threads; thread++) {
            int number = thread;
            pool.add(new Thread(() -> {
                for (int turn = 0; left.getAndDecrement() > 0; turn++) {
                    String line;
                    try {
                        byte[] message = ("message " + number + " " + turn).getBytes(StandardCharsets.UTF_8);
                        line = verified(known, algorithm, message, signature(key, algorithm, message)) ? "ok" : "failed: bad signature";
                    } catch (Exception problem) {
                        line = "failed: " + problem + (problem.getCause() == null ? "" : ": " + problem.getCause());
                    }
                    synchronized (pool) {
                        System.out.println(line);
                    }
                }
            }));
        }
        for (Thread thread : pool) thread.start();
        if (count.equals("-")) {
            while (System.in.read() >= 0) { }
            left.set(0);
        }
        for (Thread thread : pool) thread.join();
    }
}
